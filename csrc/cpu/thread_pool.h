// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A pool that runs one small job on all threads at once, hundreds of times a token: it spins briefly for the next job,
// because waking a sleeping thread costs more than a whole step, and then sleeps, because an idle robot must not burn a core.
// A job has as many parts as there are threads, and whoever is there takes the next: on a machine whose cores are taken the
// caller does not wait for a worker that has yet to be scheduled, it does that part as well.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace tinychat {

class ThreadPool {
 public:
  // `threads` counts the caller, which works too as thread 0.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls job(part) once for every part in [0, threads()), several at a time, and returns when all have returned.
  // Jobs must not throw.
  template <typename Job>
  void run(const Job& job) {
    run_erased([](const void* context, int part) { (*static_cast<const Job*>(context))(part); }, &job);
  }

 private:
  using Function = void (*)(const void* context, int part);
  void run_erased(Function function, const void* context);
  int do_parts();
  void work();

  // Parts that nobody has taken. The caller and the workers write to different cache lines.
  alignas(64) std::atomic<int> untaken_{0};
  Function function_ = nullptr;
  const void* context_ = nullptr;
  alignas(64) std::atomic<int> unfinished_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

} // namespace tinychat
