// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Products with a matrix in every format, against a sum in double precision over the rows as the CPU reads them.

#include "cpu/embedding.h"
#include "cpu/half.h"
#include "cpu/kernels.h"
#include "cuda/gemm/gemm.h"
#include "matrix.h"

using namespace tinychat;
using namespace tinychat::cuda;

namespace {

float to_float(uint16_t bits, DType dtype) { return dtype == DType::kFp16 ? half_to_float(bits) : bf16_to_float(bits); }

std::vector<uint16_t> random_tokens(std::mt19937& random, size_t count, DType dtype) {
  std::vector<uint16_t> x;
  for (float value : random_floats(random, count)) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    x.push_back(dtype == DType::kFp16 ? float_to_half(value) : static_cast<uint16_t>(bits >> 16));
  }
  return x;
}

// Whether weights become fp16 numbers: else a group's sums are scaled, or a channel's.
bool rounds(const Linear& w, DType dtype, int tokens) {
  return dtype == DType::kFp16 && w.format != WeightFormat::kW8Channel &&
         (tokens > 24 || w.group % (w.format == WeightFormat::kW4Zero ? 64 : 128) != 0);
}

// What a row of W and a token make, in double precision.
double dot(const Matrix& matrix, int row, const uint16_t* token, DType dtype, bool rounds) {
  std::vector<float> w(matrix.w.cols);
  read_row(matrix.w, row, w.data());
  double sum = matrix.bias[row];
  for (int k = 0; k < matrix.w.cols; ++k) {
    sum += static_cast<double>(rounds ? half_to_float(float_to_half(w[k])) : w[k]) * to_float(token[k], dtype);
  }
  return sum;
}

struct Error {
  double difference = 0, size = 0;
  void add(double found, double expected) {
    difference += (found - expected) * (found - expected);
    size += expected * expected;
  }
  void stay_below(double bound, const Case& c, int tokens) const {
    const double error = std::sqrt(difference / size);
    CHECK(error < bound, "format " + std::to_string(static_cast<int>(c.format)) + ", " + std::to_string(c.rows) +
                             " x " + std::to_string(c.cols) + ", group " + std::to_string(c.group) + ", " +
                             std::to_string(tokens) + " tokens: " + std::to_string(error));
  }
};

// In a bf16 model weights and scales of other formats are rounded to it.
double bound_of(const Case& c, DType dtype) {
  const bool exact = c.format == WeightFormat::kBf16 || c.format == WeightFormat::kW8Channel;
  return dtype == DType::kBf16 && !exact ? 5e-3 : 1e-5;
}

void test(const Case& c, DType dtype, int tokens, bool add) {
  std::mt19937 random(6);
  const Matrix matrix(c, random);
  const auto x = random_tokens(random, static_cast<size_t>(tokens) * c.cols, dtype);
  std::vector<float> out = random_floats(random, static_cast<size_t>(tokens) * c.rows), before = out;
  gemm({}, {matrix.w, x.data(), dtype, tokens, out.data(), add});
  Error error;
  for (int n = 0; n < c.rows; ++n)
    for (int token = 0; token < tokens; ++token) {
      const size_t at = static_cast<size_t>(token) * c.rows + n;
      error.add(out[at],
                dot(matrix, n, &x[static_cast<size_t>(token) * c.cols], dtype, rounds(matrix.w, dtype, tokens)) +
                    (add ? before[at] : 0));
    }
  error.stay_below(bound_of(c, dtype), c, tokens);
}

void test_activated(const Case& c, Activation kind, bool gated, int tokens) {
  std::mt19937 random(7);
  const Matrix matrix(c, random);
  const int width = gated ? c.rows / 2 : c.rows;
  const auto x = random_tokens(random, static_cast<size_t>(tokens) * c.cols, DType::kFp16);
  const auto scale = random_floats(random, width, 1e-3f);
  std::vector<uint16_t> out(static_cast<size_t>(tokens) * width);
  gemm({}, {matrix.w,
            x.data(),
            DType::kFp16,
            tokens,
            nullptr,
            false,
            {kind, gated, scale.data(), out.data(), DType::kFp16}});
  Error error;
  for (int n = 0; n < width; ++n)
    for (int token = 0; token < tokens; ++token) {
      const uint16_t* of = &x[static_cast<size_t>(token) * c.cols];
      // The CPU's kernels know rows of 16.
      const float value[16] = {static_cast<float>(dot(matrix, n, of, DType::kFp16, true))};
      const float paired_tile[16] = {gated ? static_cast<float>(dot(matrix, width + n, of, DType::kFp16, true)) : 0.0f};
      float expected[16];
      compiled_isas().back().kernels->activate(kind, value, gated ? paired_tile : nullptr, 1, expected, 16);
      error.add(half_to_float(out[static_cast<size_t>(token) * width + n]), expected[0] * scale[n]);
    }
  error.stay_below(1e-3, c, tokens);
}

// Bytes against the same integers in double precision; `activated`: as the feed-forward part's first product.
void test_bytes(const Case& c, int tokens, bool activated) {
  std::mt19937 random(11);
  const Matrix matrix(c, random);
  const int groups = c.cols / c.group;
  std::vector<int8_t> x(static_cast<size_t>(tokens) * c.cols);
  for (auto& byte : x) byte = static_cast<int8_t>(random() % 255 - 127);
  const auto x_scales = random_floats(random, tokens * groups, activated ? 1e-4f : 1.0f); // fp16 ends at 65504
  std::vector<float> out = random_floats(random, static_cast<size_t>(tokens) * c.rows), before = out;
  std::vector<uint16_t> active(static_cast<size_t>(tokens) * c.rows / 2);
  Gemm linear = {matrix.w, x.data(), DType::kInt8, tokens, out.data(), true, {}, {}, x_scales.data()};
  if (activated) linear.activated = {Activation::kRelu, true, nullptr, active.data(), DType::kFp16};
  gemm({}, linear);
  const auto expected = [&](int token, int row) {
    std::vector<float> w(c.cols);
    read_row(matrix.w, row, w.data());
    double sum = matrix.bias[row];
    for (int k = 0; k < c.cols; ++k)
      sum += static_cast<double>(w[k]) * x[static_cast<size_t>(token) * c.cols + k] *
             x_scales[token * groups + k / c.group];
    return sum;
  };
  Error error;
  for (int token = 0; token < tokens; ++token)
    for (int n = 0; n < (activated ? c.rows / 2 : c.rows); ++n) {
      if (activated)
        error.add(half_to_float(active[static_cast<size_t>(token) * c.rows / 2 + n]),
                  std::max(0.0, expected(token, n)) * expected(token, c.rows / 2 + n));
      else
        error.add(out[static_cast<size_t>(token) * c.rows + n],
                  expected(token, n) + before[static_cast<size_t>(token) * c.rows + n]);
    }
  error.stay_below(activated ? 1e-3 : 1e-5, c, tokens);
}

// A product that makes the norm itself, against the two one after the other.
void test_normed(const Case& c, Norm kind, DType dtype) {
  std::mt19937 random(8);
  const Matrix matrix(c, random);
  const auto x = random_floats(random, c.cols, 5), weight = random_floats(random, c.cols),
             bias = random_floats(random, c.cols), scale = random_floats(random, c.cols);
  const NormWeights norm_weights = {weight.data(), bias.data(), 1e-5f, kind};
  std::vector<uint16_t> normed(c.cols);
  norm({}, {x.data(), norm_weights, scale.data()}, 1, c.cols, dtype, normed.data());
  std::vector<float> out(c.rows), expected(c.rows);
  gemm({}, {matrix.w, normed.data(), dtype, 1, expected.data(), false});
  gemm({}, {matrix.w, nullptr, dtype, 1, out.data(), false, {}, {x.data(), norm_weights, scale.data()}});
  Error error;
  for (int n = 0; n < c.rows; ++n) error.add(out[n], expected[n]);
  error.stay_below(dtype == DType::kBf16 ? 1e-3 : 1e-4, c, 1); // a sum in another order may round a number otherwise
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
    for (DType dtype : {DType::kFp16, DType::kBf16}) {
      if (c.format == W::kBf16 && dtype == DType::kFp16) continue; // a model with bf16 weights runs in bf16
      for (int tokens : {1, 8, 20, 70}) test(c, dtype, tokens, tokens == 8);
    }
  }
  const Case inner[] = {{W::kW4Zero, 96, 288, 32}, {W::kW8Group, 64, 192, 32}, {W::kF16, 96, 80, 0}};
  for (const Case& c : inner)
    for (Activation kind : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh, Activation::kRelu})
      for (bool gated : {false, true})
        for (int tokens : {1, 20, 70}) test_activated(c, kind, gated, tokens);
  const Case odd = {W::kF16, 40, 80, 0}; // without a gate, rows need not fill a tile
  for (int tokens : {1, 70}) test_activated(odd, Activation::kGelu, false, tokens);
  const Case bytes[] = {{W::kW8Group, 40, 1120, 32},    {W::kW8Group, 19, 192, 64},      {W::kW8Group, 23, 1344, 96},
                        {W::kW8Group, 16, 1152, 128},   {W::kW8Channel, 40, 1136, 1136}, {W::kW8Channel, 16, 48, 48},
                        {W::kW8Channel, 21, 2048, 2048}};
  for (const Case& c : bytes)
    for (int tokens : {1, 8, 20, 70}) test_bytes(c, tokens, false);
  const Case inner_bytes[] = {{W::kW8Group, 96, 160, 32}, {W::kW8Channel, 64, 208, 208}};
  for (const Case& c : inner_bytes)
    for (int tokens : {1, 20, 70}) test_bytes(c, tokens, true);
  for (Norm kind : {Norm::kRms, Norm::kLayer}) {
    test_normed({W::kW4Zero, 40, 1152, 128}, kind, DType::kFp16);
    test_normed({W::kBf16, 40, 1152, 0}, kind, DType::kBf16);
  }
}
