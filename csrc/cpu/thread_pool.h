// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A pool that runs one small job on all threads at once, hundreds of times per token. A worker spins briefly for the next job,
// because waking a sleeping thread takes longer than a whole step. It then sleeps, because an idle robot must not use a core.
// A job has any number of parts. Each thread has a range of them, the same in all jobs of the same size, so that it finds in its
// core's cache what it wrote in the last job; when its own are taken, it takes those of others. If the cores are busy, the
// caller computes a part itself instead of waiting for a worker that is not scheduled yet. With several parts a thread, a core
// that is slow or busy computes fewer of them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace tinychat {

class ThreadPool {
 public:
  // `threads` includes the caller, which also computes parts.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(ranges_.size()); }

  // Calls job(part) once for every part in [0, parts), several at a time, and returns when all have returned.
  // Jobs must not throw.
  template <typename Job>
  void run(int parts, const Job& job) {
    run_erased(parts, [](const void* context, int part) { (*static_cast<const Job*>(context))(part); }, &job);
  }

 private:
  using Function = void (*)(const void* context, int part);
  void run_erased(int parts, Function function, const void* context);
  int do_parts(int thread);
  bool any_untaken() const;
  void work(int thread);

  // The parts of a thread's range that nobody has taken yet. Each has a cache line of its own.
  struct alignas(64) Range {
    std::atomic<int> untaken{0};
    int end = 0;
  };
  bool do_part_of(Range& range);
  std::vector<Range> ranges_;
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
