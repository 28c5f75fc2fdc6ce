// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Norms, activations and quantization against the C library in double precision.

#include <algorithm>

#include "check.h"
#include "cpu/half.h"

using namespace tinychat;

namespace {

double reference(Activation kind, double x) {
  switch (kind) {
    case Activation::kSilu: return x / (1 + std::exp(-x));
    case Activation::kGelu: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluTanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu: return std::max(x, 0.0);
  }
  return 0;
}

void test_activations(const Isa& isa) {
  std::vector<float> x;
  for (int i = -1600; i < 1600; ++i) x.push_back(static_cast<float>(i) * 0.0625f);
  x[3] = 0.0f;
  const auto n = static_cast<int>(x.size());
  const std::vector<float> up(x.size(), 0.5f);
  const int rows = n / 16, stride = 21; // rows of a wider matrix
  std::vector<float> plain(x.size()), gated(static_cast<size_t>(rows) * stride, -7.0f);
  for (const Activation kind : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh, Activation::kRelu}) {
    isa.kernels->activate(kind, x.data(), nullptr, rows, plain.data(), 16);
    isa.kernels->activate(kind, x.data(), up.data(), rows, gated.data(), stride);
    for (int i = 0; i < n; ++i) {
      const double expected = reference(kind, x[i]);
      CHECK(std::fabs(plain[i] - expected) <= 2e-6 * (1 + std::fabs(expected)),
            std::string(isa.name) + " kind " + std::to_string(static_cast<int>(kind)) + " of " + std::to_string(x[i]));
      CHECK(gated[i / 16 * stride + i % 16] == plain[i] * 0.5f, "gated");
      CHECK(gated[i / 16 * stride + 16] == -7.0f, "between the rows");
    }
  }
}

void test_norms(const Isa& isa, std::mt19937& random) {
  const int n = 144;
  std::vector<float> x = random_floats(random, n, 3.0f);
  for (float& value : x) value += 1.0f;
  const std::vector<float> weight = random_floats(random, n), bias = random_floats(random, n);
  for (const Norm kind : {Norm::kRms, Norm::kLayer}) {
    double mean = 0, squares = 0;
    if (kind == Norm::kLayer) {
      for (const float value : x) mean += value;
      mean /= n;
    }
    for (const float value : x) squares += (value - mean) * (value - mean);
    const double factor = 1 / std::sqrt(squares / n + 1e-5);
    std::vector<float> out(n), in_place = x;
    isa.kernels->norm(kind, x.data(), weight.data(), bias.data(), 1e-5f, n, out.data());
    isa.kernels->norm(kind, in_place.data(), weight.data(), nullptr, 1e-5f, n, in_place.data());
    for (int i = 0; i < n; ++i) {
      const double expected = (x[i] - mean) * factor * weight[i];
      CHECK(std::fabs(in_place[i] - expected) <= 1e-5, isa.name);
      CHECK(std::fabs(out[i] - expected - bias[i]) <= 1e-5, isa.name);
    }
  }
}

// To bytes or to 16 bits in two digits.
struct Quantized {
  std::vector<int8_t> q;
  std::vector<float> scales, scaled_sums;
  std::vector<int32_t> sums;

  Quantized(const Isa& isa, const std::vector<float>& x, int group, int digits)
      : q(digits * x.size()), scales(x.size() / group), scaled_sums(scales.size()), sums(scales.size()) {
    (digits == 2 ? isa.kernels->quantize_two_digits : isa.kernels->quantize_int8)(
        x.data(), static_cast<int>(x.size()), group, q.data(), scales.data(), sums.data(), scaled_sums.data());
  }
};

void test_quantize(const Isa& isa, std::mt19937& random, int digits) {
  const int cols = 256;
  for (const int group : {32, 64, 128, 256})
    for (const float outlier : {1.0f, -1e30f, 3e38f, 1e-38f}) {
      std::vector<float> x = random_floats(random, cols);
      std::fill(x.begin() + 32, x.begin() + 64, 0.0f); // a group of zeros has no scale to divide by
      x[7] = outlier;
      if (std::fabs(outlier) < 1e-30f) std::fill(x.begin(), x.begin() + 32, outlier);
      const Quantized found(isa, x, group, digits);
      for (int g = 0; g < cols / group; ++g) {
        int32_t sum = 0;
        // Of two digits the second is 127 at most where 128 would be next.
        const float bound = std::max(digits == 2 ? 1.01f * found.scales[g] : 0.5001f * found.scales[g], 1e-30f);
        for (int i = g * group; i < (g + 1) * group; ++i) {
          int32_t value = 0;
          for (int d = 0; d < digits; ++d) {
            CHECK(found.q[d * cols + i] != -128, "cannot be negated");
            value = 256 * value + found.q[d * cols + i];
          }
          sum += value;
          CHECK(std::fabs(x[i] - static_cast<double>(found.scales[g]) * value) <= bound,
                std::string(isa.name) + " digits " + std::to_string(digits) + " outlier " + std::to_string(outlier));
        }
        CHECK(found.sums[g] == sum, isa.name);
        CHECK(found.scaled_sums[g] == found.scales[g] * static_cast<float>(sum), isa.name);
      }
    }
}

// An infinity or a NaN, wherever it stands, never becomes a number: all that is computed from the row is NaN.
void test_quantize_no_number(const Isa& isa, std::mt19937& random, int digits) {
  for (const float wrong : {INFINITY, -INFINITY, NAN})
    for (const int at : {0, 17, 95}) {
      std::vector<float> x = random_floats(random, 96);
      x[at] = wrong;
      const Quantized found(isa, x, 32, digits);
      for (const float scale : found.scales) CHECK(std::isnan(scale), isa.name);
      for (const float sum : found.scaled_sums) CHECK(std::isnan(sum), isa.name);
    }
}

} // namespace

int main() {
  for_each_isa([](const Isa& isa) {
    std::mt19937 random(11);
    test_activations(isa);
    test_norms(isa, random);
    for (const int digits : {1, 2}) {
      test_quantize(isa, random, digits);
      test_quantize_no_number(isa, random, digits);
    }
  });
  return 0;
}
