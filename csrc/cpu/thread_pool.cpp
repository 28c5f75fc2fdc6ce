// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cpu/thread_pool.h"

#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tinychat {
namespace {

// Longer than the gap between two tokens (sampling, detokenizing, publishing), shorter than anyone notices.
constexpr std::chrono::microseconds kSpin(300);
// After so many looks without a result (a few microseconds) the other side may be waiting for this very core: offer it.
// Where nobody wants it, that costs a third of a microsecond.
constexpr int kLooksPerYield = 128;

inline void relax(int looks) {
  if (looks % kLooksPerYield == 0) {
    std::this_thread::yield();
    return;
  }
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory"); // `yield` is a no-op on most cores
#endif
}

} // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_.store(true);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_erased(int parts, Function function, const void* context) {
  function_ = function;
  context_ = context;
  parts_ = parts;
  unfinished_.store(parts, std::memory_order_relaxed);
  // Sequentially consistent with the sleeper's count: either we see the sleeper, or it sees the parts.
  untaken_.store(parts);
  if (sleepers_.load() != 0) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    wake_.notify_all();
  }
  do_parts();
  for (int looks = 1; unfinished_.load(std::memory_order_acquire) != 0; ++looks) relax(looks);
}

// Takes parts until none is left and returns how many it did. Who has taken one keeps run_erased from returning, so the
// job that it reads after that is the one that the part belongs to.
int ThreadPool::do_parts() {
  int done = 0;
  for (int left = untaken_.load(std::memory_order_acquire); left > 0;) {
    if (!untaken_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    function_(context_, parts_ - left);
    unfinished_.fetch_sub(1, std::memory_order_release);
    ++done;
    left = untaken_.load(std::memory_order_acquire);
  }
  return done;
}

void ThreadPool::work() {
  auto deadline = std::chrono::steady_clock::now() + kSpin;
  for (int looks = 1; !stop_.load(std::memory_order_relaxed); ++looks) {
    if (do_parts() != 0) {
      deadline = std::chrono::steady_clock::now() + kSpin;
      looks = 0;
      continue;
    }
    relax(looks);
    if (looks % 64 != 0 || std::chrono::steady_clock::now() < deadline) continue;
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return stop_.load() || untaken_.load() > 0; });
    sleepers_.fetch_sub(1);
    deadline = std::chrono::steady_clock::now() + kSpin;
  }
}

} // namespace tinychat
