// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cpu/bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "cpu/isa.h"
#include "cpu/thread_pool.h"

namespace tinychat {

double read_bandwidth(size_t bytes, int threads, int rounds) {
  const Kernels& kernels = *choose_isa("").kernels;
  const size_t lines = bytes / 64;
  const std::vector<uint8_t> memory(lines * 64 + 64, 1);
  ThreadPool pool(threads);
  std::atomic<int32_t> seen{0}; // so that nobody optimizes the reading away
  std::vector<double> seconds;
  for (int round = 0; round <= rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(threads, [&](int thread) {
      const size_t begin = lines * thread / threads, end = lines * (thread + 1) / threads;
      seen += kernels.read(memory.data() + 64 * begin, end - begin);
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (round > 0) seconds.push_back(elapsed.count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + rounds / 2, seconds.end());
  return static_cast<double>(lines) * 64 / seconds[rounds / 2];
}

} // namespace tinychat
