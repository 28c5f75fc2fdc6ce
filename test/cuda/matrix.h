// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Random weight matrices in every format.
#pragma once

#include <cstring>

#include "../cpp/check.h"
#include "cpu/half.h"
#include "decoder/model.h"

namespace tinychat {

struct Case {
  WeightFormat format;
  int rows, cols, group;
};

// A random matrix, and the memory that it points into.
struct Matrix {
  std::vector<uint8_t> weight, zeros;
  std::vector<uint16_t> scales, mins;
  std::vector<float> channel_scales, bias;
  Linear w;

  Matrix(const Case& c, std::mt19937& random) {
    w.format = c.format;
    w.rows = c.rows;
    w.cols = c.cols;
    w.group = c.group;
    const size_t numbers = static_cast<size_t>(w.tiles()) * 16 * c.cols;
    const bool sixteen = c.format == WeightFormat::kF16 || c.format == WeightFormat::kBf16;
    for (float value : random_floats(random, sixteen ? numbers : 0)) {
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const uint16_t half = c.format == WeightFormat::kF16 ? float_to_half(value) : static_cast<uint16_t>(bits >> 16);
      weight.push_back(static_cast<uint8_t>(half));
      weight.push_back(static_cast<uint8_t>(half >> 8));
    }
    for (size_t i = 0; !sixteen && i < numbers; ++i) weight.push_back(static_cast<uint8_t>(random()));
    w.weight = weight.data();
    bias = random_floats(random, c.rows);
    w.bias = bias.data();
    if (c.format == WeightFormat::kW8Channel) {
      channel_scales = random_floats(random, w.tiles() * 16);
      w.channel_scales = channel_scales.data();
      return;
    }
    if (sixteen) return;
    for (float s : random_floats(random, numbers / c.group)) scales.push_back(float_to_half(s));
    w.scales = scales.data();
    for (float m : random_floats(random, numbers / c.group, 8)) mins.push_back(float_to_half(m));
    for (size_t i = 0; i < numbers / c.group / 2; ++i) zeros.push_back(static_cast<uint8_t>(random()));
    if (c.format == WeightFormat::kW4Min) w.mins = mins.data();
    if (c.format == WeightFormat::kW4Zero) w.zeros = zeros.data();
  }
};

} // namespace tinychat
