// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks that stay on in release builds: the first that fails prints what was compared and ends the test.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "cpu/isa.h"

inline void check(bool truth, const char* text, const char* file, int line, const std::string& context) {
  if (truth) return;
  std::fprintf(stderr, "%s:%d: failed: %s (%s)\n", file, line, text, context.c_str());
  std::exit(1);
}
#define CHECK(expression, context) check(expression, #expression, __FILE__, __LINE__, context)

inline std::vector<float> random_floats(std::mt19937& random, size_t count, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Calls test(isa) for every set that this machine can run.
template <typename Test>
void for_each_isa(const Test& test) {
  for (const tinychat::Isa& isa : tinychat::compiled_isas())
    if (isa.supported()) {
      test(isa);
      std::printf("%s: passed\n", isa.name);
    }
}
