// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Products with a matrix in every format, against a sum in double precision over the rows as the CPU reads them.

#include "../cpp/check.h"
#include "cpu/embedding.h"
#include "cpu/half.h"
#include "cuda/kernels.h"

using namespace tinychat;
using namespace tinychat::cuda;

namespace {

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

void test(const Case& c, Number number, int tokens, bool add) {
  std::mt19937 random(6);
  const Matrix matrix(c, random);
  std::vector<uint16_t> x;
  for (float value : random_floats(random, static_cast<size_t>(tokens) * c.cols)) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    x.push_back(number == Number::kHalf ? float_to_half(value) : static_cast<uint16_t>(bits >> 16));
  }
  std::vector<float> out = random_floats(random, static_cast<size_t>(tokens) * c.rows), before = out;
  multiply({}, {matrix.w, x.data(), number, tokens, out.data(), add});
  double error = 0, size = 0;
  std::vector<float> row(c.cols);
  for (int n = 0; n < c.rows; ++n) {
    read_row(matrix.w, n, row.data());
    for (int token = 0; token < tokens; ++token) {
      const size_t at = static_cast<size_t>(token) * c.rows + n;
      double expected = matrix.bias[n] + (add ? before[at] : 0);
      for (int k = 0; k < c.cols; ++k) {
        const uint16_t bits = x[static_cast<size_t>(token) * c.cols + k];
        expected += static_cast<double>(row[k]) * (number == Number::kHalf ? half_to_float(bits) : bf16_to_float(bits));
      }
      error += (out[at] - expected) * (out[at] - expected);
      size += expected * expected;
    }
  }
  // Products are exact in float, and only fp16 weights in a bf16 model are rounded.
  const double bound = c.format == WeightFormat::kF16 && number == Number::kBf16 ? 5e-3 : 2e-6;
  CHECK(std::sqrt(error / size) < bound, "format " + std::to_string(static_cast<int>(c.format)) + ", " +
                                             std::to_string(c.rows) + " x " + std::to_string(c.cols) + ", group " +
                                             std::to_string(c.group) + ", " + std::to_string(tokens) +
                                             " tokens: " + std::to_string(std::sqrt(error / size)));
}

} // namespace

int main() {
  using W = WeightFormat;
  // Rows that do not fill a tile, columns that do not fill a stretch or a round of all warps, every size of group.
  const Case cases[] = {{W::kW4Zero, 40, 1152, 128},  {W::kW4Zero, 16, 96, 32},    {W::kW4Zero, 23, 1344, 64},
                        {W::kW4Zero, 16, 288, 96},    {W::kW4Min, 40, 1152, 128},  {W::kW4Min, 37, 160, 32},
                        {W::kW4Min, 16, 1344, 64},    {W::kW8Group, 40, 1120, 32}, {W::kW8Group, 19, 192, 64},
                        {W::kW8Channel, 40, 1136, 0}, {W::kW8Channel, 16, 48, 0},  {W::kF16, 40, 1136, 0},
                        {W::kF16, 21, 16, 0},         {W::kBf16, 40, 1136, 0}};
  for (Case c : cases) {
    if (c.format == W::kW8Channel) c.group = c.cols;
    for (Number number : {Number::kHalf, Number::kBf16}) {
      if (c.format == W::kBf16 && number == Number::kHalf) continue; // a model with bf16 weights runs in bf16
      for (int tokens : {1, 8, 70}) test(c, number, tokens, tokens == 8);
    }
  }
}
