// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Every part of every job runs exactly once, also after the workers have gone to sleep; what no worker has begun, the
// caller does.

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "check.h"
#include "cpu/thread_pool.h"

namespace {

// On one core for all, most parts are still untaken when the caller has done its own.
void check_that_the_caller_helps() {
  cpu_set_t all, first;
  CHECK(sched_getaffinity(0, sizeof all, &all) == 0, "affinity");
  CPU_ZERO(&first);
  for (int core = 0; CPU_COUNT(&first) == 0; ++core) {
    if (CPU_ISSET(core, &all)) CPU_SET(core, &first);
  }
  CHECK(sched_setaffinity(0, sizeof first, &first) == 0, "affinity"); // the workers inherit it
  tinychat::ThreadPool pool(4);
  const std::thread::id caller = std::this_thread::get_id();
  int helped = 0;
  for (int i = 0; i < 1000; ++i) {
    std::thread::id who[4];
    pool.run(4, [&](int part) { who[part] = std::this_thread::get_id(); });
    helped += std::count(who, who + 4, caller) > 1;
  }
  CHECK(helped > 0, "the caller waited for its workers each time");
  CHECK(sched_setaffinity(0, sizeof all, &all) == 0, "affinity");
}

} // namespace

int main() {
  for (int threads = 1; threads <= 4; ++threads) {
    tinychat::ThreadPool pool(threads);
    CHECK(pool.threads() == threads, std::to_string(threads));
    const int parts[] = {threads, 4 * threads, 1}; // the pool takes jobs of any size in turn
    std::vector<long> calls(4 * threads), expected(4 * threads);
    for (const int count : parts) {
      for (int i = 0; i < 300; ++i) pool.run(count, [&](int part) { ++calls[part]; });
      for (int part = 0; part < count; ++part) expected[part] += 300;
      CHECK(calls == expected, std::to_string(threads));
      std::this_thread::sleep_for(std::chrono::milliseconds(5)); // longer than the workers spin
    }
  }
  check_that_the_caller_helps();
  return 0;
}
