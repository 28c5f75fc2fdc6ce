// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cpu/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

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

ThreadPool::ThreadPool(int threads) : ranges_(threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
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
  unfinished_.store(parts, std::memory_order_relaxed);
  // The caller's last: a worker that sees them also sees its own. Sequentially consistent with the sleepers' count: either we
  // see a sleeper, or it sees the parts.
  for (int thread = threads() - 1, end = parts; thread >= 0; --thread) {
    const int begin = static_cast<int>(static_cast<int64_t>(parts) * thread / threads());
    ranges_[thread].end = end;
    ranges_[thread].untaken.store(end - begin);
    end = begin;
  }
  if (sleepers_.load() != 0) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    wake_.notify_all();
  }
  do_parts(0);
  for (int looks = 1; unfinished_.load(std::memory_order_acquire) != 0; ++looks) relax(looks);
}

// Takes parts, of others only while its own range has none, and returns how many it did.
int ThreadPool::do_parts(int thread) {
  int done = 0;
  for (int i = 0; i < threads();) {
    const bool others = i > 0 && ranges_[thread].untaken.load(std::memory_order_relaxed) == 0;
    if (do_part_of(ranges_[others ? (thread + i) % threads() : thread])) ++done, i = 0;
    else ++i;
  }
  return done;
}

// Who has taken a part keeps run_erased from returning, so the job that it reads after that is the one that the part belongs
// to.
bool ThreadPool::do_part_of(Range& range) {
  int left = range.untaken.load(std::memory_order_acquire);
  while (left > 0 &&
         !range.untaken.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
  }
  if (left <= 0) return false;
  function_(context_, range.end - left);
  unfinished_.fetch_sub(1, std::memory_order_release);
  return true;
}

bool ThreadPool::any_untaken() const {
  return std::any_of(ranges_.begin(), ranges_.end(), [](const Range& range) { return range.untaken.load() > 0; });
}

void ThreadPool::work(int thread) {
  auto deadline = std::chrono::steady_clock::now() + kSpin;
  for (int looks = 1; !stop_.load(std::memory_order_relaxed); ++looks) {
    if (do_parts(thread) != 0) {
      deadline = std::chrono::steady_clock::now() + kSpin;
      looks = 0;
      continue;
    }
    relax(looks);
    if (looks % 64 != 0 || std::chrono::steady_clock::now() < deadline) continue;
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return stop_.load() || any_untaken(); });
    sleepers_.fetch_sub(1);
    deadline = std::chrono::steady_clock::now() + kSpin;
  }
}

} // namespace tinychat
