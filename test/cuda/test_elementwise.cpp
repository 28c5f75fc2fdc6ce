// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Embedding, norms and bytes against the CPU's kernels.

#include "../cpp/check.h"
#include "cpu/embedding.h"
#include "cpu/half.h"
#include "cpu/kernels.h"
#include "cuda/elementwise/elementwise.h"
#include "cuda/primitives/dtype.cuh"

using namespace tinychat;
using namespace tinychat::cuda;

namespace {

const Kernels& cpu() { return *compiled_isas().back().kernels; }

void close(const std::vector<uint16_t>& found, const std::vector<float>& expected, bool bf16, const char* name) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const float value = bf16 ? bf16_to_float(found[i]) : half_to_float(found[i]);
    const float bound = (bf16 ? 5e-3f : 1e-3f) * std::abs(expected[i]) + 1e-5f;
    CHECK(std::abs(value - expected[i]) <= bound, std::string(name) + " " + std::to_string(i));
  }
}

void test_norms(Norm kind, DType dtype, int n) {
  std::mt19937 random(2);
  constexpr int kRows = 3;
  const auto x = random_floats(random, kRows * n, 5), w = random_floats(random, n), b = random_floats(random, n),
             scale = random_floats(random, n);
  std::vector<float> expected(kRows * n), residual = random_floats(random, kRows * n), sum = residual;
  std::vector<uint16_t> out(kRows * n);
  for (int r = 0; r < kRows; ++r) {
    cpu().norm(kind, &x[r * n], w.data(), b.data(), 1e-5f, n, &expected[r * n]);
    for (int i = 0; i < n; ++i) sum[r * n + i] += expected[r * n + i];
    cpu().scale(&expected[r * n], scale.data(), n);
  }
  const NormWeights weights = {w.data(), b.data(), 1e-5f, kind};
  norm({}, {x.data(), weights, scale.data()}, kRows, n, dtype, out.data());
  close(out, expected, dtype == DType::kBf16, "norm");
  add_normed({}, {x.data(), weights, nullptr}, kRows, n, residual.data());
  for (int i = 0; i < kRows * n; ++i) CHECK(std::abs(residual[i] - sum[i]) < 1e-4f, "added norm " + std::to_string(i));

  residual = x;
  norm_residual({}, weights, kRows, n, residual.data());
  for (int r = 0; r < kRows; ++r) {
    cpu().norm(kind, &x[r * n], w.data(), b.data(), 1e-5f, n, &sum[r * n]);
    for (int i = r * n; i < (r + 1) * n; ++i)
      CHECK(std::abs(residual[i] - sum[i]) < 1e-4f, "norm behind the residual " + std::to_string(i));
  }

  for (int i = 0; i < kRows * n; ++i) sum[i] = x[i] * scale[i % n];
  norm({}, {x.data(), {nullptr, nullptr, 1e-5f, kind}, scale.data()}, kRows, n, dtype, out.data());
  close(out, sum, dtype == DType::kBf16, "no norm");
}

// Rows as bytes and scales.
struct Quantized {
  std::vector<int8_t> bytes;
  std::vector<float> scales;
  int rows, n, group;

  Quantized(int rows, int n, int group) : bytes(rows * n), scales(rows * n / group), rows(rows), n(n), group(group) {}
  Int8Activations view() { return {bytes.data(), scales.data(), group}; }

  // `tolerance`: how much a byte may differ
  void equals(const std::vector<float>& numbers, int tolerance) const {
    std::vector<int8_t> q(n);
    std::vector<int32_t> sums(n / group);
    std::vector<float> expected(n / group), scaled(n / group);
    for (int r = 0; r < rows; ++r) {
      cpu().quantize_int8(&numbers[r * n], n, group, q.data(), expected.data(), sums.data(), scaled.data());
      for (int i = 0; i < n; ++i) CHECK(std::abs(bytes[r * n + i] - q[i]) <= tolerance, "byte " + std::to_string(i));
      for (int g = 0; g < n / group; ++g)
        CHECK(std::abs(scales[r * n / group + g] - expected[g]) <= 1e-6f * expected[g] * tolerance, "scale");
    }
  }
};

void test_bytes(DType dtype, int n, int group) {
  std::mt19937 random(9);
  constexpr int kRows = 3;
  std::vector<float> numbers = random_floats(random, kRows * n, 5);
  for (int i = 0; i < group; ++i) numbers[n + i] = 0; // a group without a largest number
  std::vector<uint16_t> x;
  for (float& value : numbers) {
    x.push_back(to_dtype(value, dtype));
    value = from_dtype(x.back(), dtype);
  }
  Quantized found(kRows, n, group);
  quantize_int8({}, x.data(), dtype, kRows, n, found.view());
  found.equals(numbers, 0);
}

void test_normed_bytes(Norm kind, int n, int group) {
  std::mt19937 random(10);
  constexpr int kRows = 3;
  const auto x = random_floats(random, kRows * n, 5), w = random_floats(random, n), b = random_floats(random, n),
             scale = random_floats(random, n);
  std::vector<float> numbers(kRows * n);
  for (int r = 0; r < kRows; ++r) {
    cpu().norm(kind, &x[r * n], w.data(), b.data(), 1e-5f, n, &numbers[r * n]);
    cpu().scale(&numbers[r * n], scale.data(), n);
  }
  Quantized found(kRows, n, group);
  norm_to_int8({}, {x.data(), {w.data(), b.data(), 1e-5f, kind}, scale.data()}, kRows, n, found.view());
  found.equals(numbers, 1); // sums in another order
}

// fp16 ends where a bf16 model may go on: what is too large stays the largest number, not infinity.
void test_too_large() {
  const std::vector<float> x = {1, 1, -1, -1}, w = {1e30f, 1, 1, 1e30f};
  std::vector<uint16_t> out(4);
  norm({}, {x.data(), {w.data(), nullptr, 0, Norm::kRms}, nullptr}, 1, 4, DType::kFp16, out.data());
  CHECK(half_to_float(out[0]) == 65504 && half_to_float(out[3]) == -65504, "clamped");
}

void test_embedding(WeightFormat format) {
  std::mt19937 random(4);
  constexpr int kVocab = 40, kHidden = 64, kRows = 3;
  std::vector<uint8_t> weight(48 * kHidden * 2), zeros(48 * kHidden / 32 / 2);
  std::vector<uint16_t> scales(48 * kHidden / 32), mins(scales.size());
  for (auto& byte : weight) byte = static_cast<uint8_t>(random() & 0x3f); // finite as fp16, bf16 and integers
  for (auto& byte : zeros) byte = static_cast<uint8_t>(random());
  for (auto& s : scales) s = float_to_half(0.01f + 1e-4f * static_cast<float>(random() % 100));
  for (auto& m : mins) m = float_to_half(-0.1f);
  const auto channel = random_floats(random, 48);
  Linear w;
  w.format = format;
  w.rows = kVocab;
  w.cols = kHidden;
  w.group = format == WeightFormat::kW8Channel ? kHidden : 32;
  w.weight = weight.data();
  w.scales = scales.data();
  w.mins = mins.data();
  w.zeros = zeros.data();
  w.channel_scales = channel.data();

  const int tokens[kRows] = {0, 17, 39};
  TokenParams params[kRows] = {};
  for (int r = 0; r < kRows; ++r) {
    params[r].id = tokens[r];
    std::fill_n(params[r].position, 3, 1000 + r);
  }
  std::vector<float> residual(kRows * kHidden), frequencies = {1.0f, 0.3f}, cosines(2 * kRows), sines(2 * kRows);
  Embedding e = {};
  e.params = params;
  e.tokens = w;
  e.scale = 2;
  e.residual = residual.data();
  e.rotary = {frequencies.data(), nullptr, 2, cosines.data(), sines.data()};
  e.rotary_scale = 3;
  e.width = e.hidden = kHidden;
  embed({}, e, kRows);
  for (int r = 0; r < kRows; ++r) {
    std::vector<float> expected(kHidden);
    read_row(w, tokens[r], expected.data());
    for (int i = 0; i < kHidden; ++i) CHECK(residual[r * kHidden + i] == 2 * expected[i], "row " + std::to_string(r));
    for (int i = 0; i < 2; ++i) {
      const float angle = static_cast<float>(1000 + r) * frequencies[i];
      CHECK(std::abs(cosines[2 * r + i] - 3 * std::cos(angle)) < 1e-6f, "cosine");
      CHECK(std::abs(sines[2 * r + i] - 3 * std::sin(angle)) < 1e-6f, "sine");
    }
  }

  // Rows that a product makes as wide as the residual: learned positions alone are there already.
  constexpr int kWide = 2 * kHidden, kPositions = 1003;
  std::vector<uint16_t> learned(1008 * kWide, float_to_half(0.5f)), rows(kRows * kHidden);
  std::vector<float> wide(kRows * kWide, 7);
  e.positions.format = WeightFormat::kF16;
  e.positions.rows = kPositions;
  e.positions.cols = e.hidden = kWide;
  e.positions.weight = reinterpret_cast<const uint8_t*>(learned.data());
  e.residual = wide.data();
  e.to_project = rows.data();
  e.dtype = DType::kFp16;
  embed({}, e, kRows);
  for (float x : wide) CHECK(x == 0.5f, "a learned position");
  for (int r = 0; r < kRows; ++r) {
    std::vector<float> expected(kHidden);
    read_row(w, tokens[r], expected.data());
    for (int i = 0; i < kHidden; ++i)
      CHECK(rows[r * kHidden + i] == to_dtype(2 * expected[i], DType::kFp16), "to project " + std::to_string(r));
  }
}

// A token without an id takes its row as it is, and each pair of channels the axis of the position that is its own.
void test_embedding_rows() {
  constexpr int kHidden = 8;
  const std::vector<uint16_t> table(16 * kHidden, float_to_half(0.5f));
  const std::vector<float> rows = {0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<float> frequencies = {1, 0.5f, 0.25f};
  const std::vector<int> axes = {0, 1, 2};
  TokenParams params[2] = {};
  params[0].id = 3;
  params[1].id = -1;
  params[1].position[0] = 10;
  params[1].position[1] = 20;
  params[1].position[2] = 30;
  std::vector<float> residual(2 * kHidden), cosines(6), sines(6);
  Embedding e = {};
  e.params = params;
  e.tokens.format = WeightFormat::kF16;
  e.tokens.rows = 16;
  e.tokens.cols = e.width = e.hidden = kHidden;
  e.tokens.weight = reinterpret_cast<const uint8_t*>(table.data());
  e.rows = rows.data();
  e.row_width = kHidden;
  e.scale = 4;
  e.residual = residual.data();
  e.rotary = {frequencies.data(), axes.data(), 3, cosines.data(), sines.data()};
  e.rotary_scale = 1;
  embed({}, e, 2);
  for (int i = 0; i < kHidden; ++i) {
    CHECK(residual[i] == 2, "a token with an id");
    CHECK(residual[kHidden + i] == rows[kHidden + i], "a row");
  }
  const float angles[3] = {10, 10, 7.5f};
  for (int i = 0; i < 3; ++i)
    CHECK(std::abs(cosines[3 + i] - std::cos(angles[i])) < 1e-6f, "axis " + std::to_string(i));
}

void test_compaction() {
  constexpr int kTokens = 5, kHidden = 300, kWidth = 40;
  std::mt19937 random(12);
  for (const std::vector<int>& kept : {std::vector<int>{4}, {0, 1, 2}, {1, 3}, {1, 2, 4}}) {
    std::vector<float> residual = random_floats(random, kTokens * kHidden);
    std::vector<uint16_t> attention;
    for (int i = 0; i < kTokens * kWidth; ++i) attention.push_back(static_cast<uint16_t>(random()));
    const auto all_residual = residual;
    const auto all_attention = attention;
    std::vector<OutputParams> outputs;
    for (int token : kept) outputs.push_back({token, 0, 1, false, false});
    compact_tokens({}, outputs.data(), static_cast<int>(kept.size()), residual.data(), kHidden, attention.data(),
                   kWidth);
    for (size_t i = 0; i < kept.size(); ++i) {
      CHECK(std::equal(&residual[i * kHidden], &residual[i * kHidden] + kHidden, &all_residual[kept[i] * kHidden]),
            "residual");
      CHECK(std::equal(&attention[i * kWidth], &attention[i * kWidth] + kWidth, &all_attention[kept[i] * kWidth]),
            "attention");
    }
  }
}

} // namespace

int main() {
  for (Norm kind : {Norm::kRms, Norm::kLayer})
    for (DType dtype : {DType::kFp16, DType::kBf16})
      for (int n : {48, 576, 4096, 20000}) test_norms(kind, dtype, n);
  test_too_large();
  test_embedding_rows();
  test_compaction();
  // Groups, and whole rows as one; fewer groups than warps, and more.
  for (auto [n, group] : {std::pair{48, 48}, {96, 32}, {5120, 5120}, {4224, 128}, {4096, 32}}) {
    for (DType dtype : {DType::kFp16, DType::kBf16}) test_bytes(dtype, n, group);
    for (Norm kind : {Norm::kRms, Norm::kLayer}) test_normed_bytes(kind, n, group);
  }
  for (WeightFormat format : {WeightFormat::kW4Zero, WeightFormat::kW4Min, WeightFormat::kW8Group,
                              WeightFormat::kW8Channel, WeightFormat::kF16, WeightFormat::kBf16})
    test_embedding(format);
}
