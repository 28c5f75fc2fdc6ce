// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Every thread runs every job exactly once, also after the workers have gone to sleep.

#include <chrono>

#include "check.h"
#include "cpu/thread_pool.h"

int main() {
  for (int threads = 1; threads <= 4; ++threads) {
    tinychat::ThreadPool pool(threads);
    CHECK(pool.threads() == threads, std::to_string(threads));
    std::vector<long> calls(threads);
    long expected = 0;
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 300; ++i) pool.run([&](int thread) { ++calls[thread]; });
      expected += 300;
      for (const long count : calls) CHECK(count == expected, std::to_string(threads));
      std::this_thread::sleep_for(std::chrono::milliseconds(5)); // longer than the workers spin
    }
  }
  return 0;
}
