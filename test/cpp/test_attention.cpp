// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention over a cache against plain softmax in double precision: lengths around the tiles and chunks, every number of
// queries, windows, ALiBi and soft-caps, and a cache read in two pieces.

#include <algorithm>

#include "check.h"
#include "cpu/half.h"
#include "emulated.h"

using namespace tinychat;

namespace {

struct Case {
  int length, dim, rows, window;
  bool alibi, softcap;
  enum { kBf16, kFloat, kBytes } kind = kBf16;
  bool tiles = false;
  bool rests = false; // of tiles: the cache also holds what bf16 leaves of each number
};

// Rounds to what bytes hold; the scale is of the numbers first …, `stride` apart.
uint16_t quantize(const float* x, int count, uint8_t* out, int stride, double* meant) {
  float most = 0;
  for (int i = 0; i < count; ++i) most = std::max(most, std::fabs(x[i]));
  const uint16_t scale = float_to_half(most / 127);
  for (int i = 0; i < count; ++i) {
    const int q = std::max(-127, std::min(127, static_cast<int>(std::lround(x[i] / half_to_float(scale)))));
    out[i * stride] = static_cast<uint8_t>(kByteZero + q);
    meant[i] = static_cast<double>(q) * half_to_float(scale);
  }
  return scale;
}

void test(const Isa& isa, std::mt19937& random, const Case& c) {
  const int capacity = (c.length + 127) / 128 * 128;
  std::vector<uint16_t> keys(static_cast<size_t>(capacity) * c.dim), values(keys.size());
  std::vector<uint16_t> key_rests(keys.size()), value_rests(keys.size());
  std::vector<float> float_keys(keys.size()), float_values(keys.size());
  std::vector<double> plain_keys(keys.size()), plain_values(keys.size()); // [position][dim]
  const std::vector<float> noise = random_floats(random, 2 * keys.size());
  for (int p = 0; p < capacity; ++p)
    for (int d = 0; d < c.dim; ++d) {
      // Beyond the length lies what an earlier conversation left: it must not matter.
      const size_t at = static_cast<size_t>(p) * c.dim + d;
      const uint16_t k = float_to_bf16(noise[at]), v = float_to_bf16(noise[keys.size() + at]);
      const size_t key_at = (static_cast<size_t>(p / 16) * c.dim + d / 2 * 2) * 16 + p % 16 * 2 + d % 2;
      const size_t value_at = (static_cast<size_t>(p / 2) * c.dim + d) * 2 + p % 2;
      keys[key_at] = k;
      values[value_at] = v;
      key_rests[key_at] = float_to_bf16(noise[at] - bf16_to_float(k));
      value_rests[value_at] = float_to_bf16(noise[keys.size() + at] - bf16_to_float(v));
      float_keys[(static_cast<size_t>(p / 16) * c.dim + d) * 16 + p % 16] = bf16_to_float(k);
      float_values[at] = bf16_to_float(v);
      plain_keys[at] = c.rests ? noise[at] : bf16_to_float(k);
      plain_values[at] = c.rests ? noise[keys.size() + at] : bf16_to_float(v);
    }
  const int groups = (c.dim + kKeyGroup - 1) / kKeyGroup;
  std::vector<uint8_t> byte_keys(keys.size()), byte_values(keys.size());
  std::vector<uint16_t> key_scales(static_cast<size_t>(capacity) * groups), value_scales(capacity);
  if (c.kind == Case::kBytes)
    for (int p = 0; p < capacity; ++p) {
      const size_t at = static_cast<size_t>(p) * c.dim;
      for (int g = 0, first = 0; g < groups; ++g, first += kKeyGroup)
        key_scales[(static_cast<size_t>(p / 16) * groups + g) * 16 + p % 16] = quantize(
            &noise[at + first], std::min(kKeyGroup, c.dim - first),
            &byte_keys[(static_cast<size_t>(p / 16) * c.dim + first) * 16 + p % 16], 16, &plain_keys[at + first]);
      value_scales[p] = quantize(&noise[keys.size() + at], c.dim, &byte_values[at], 1, &plain_values[at]);
    }
  // In tiles many queries read up to 32 positions at once: what lies beyond the last must not matter, NaN least of all.
  if (c.tiles)
    for (int p = c.length + c.length % 2; p < capacity; ++p)
      for (int d = 0; d < c.dim; ++d)
        for (std::vector<uint16_t>* numbers : {&values, &value_rests})
          (*numbers)[(static_cast<size_t>(p / 2) * c.dim + d) * 2 + p % 2] = 0x7fc0;
  std::vector<float> queries = random_floats(random, static_cast<size_t>(c.rows) * c.dim, 2.0f);
  if (!c.rests)
    for (float& q : queries) q = bf16_to_float(float_to_bf16(q)); // no set has to round them
  std::vector<const float*> pointers(c.rows);
  std::vector<int> positions(c.rows), first_visible(c.rows);
  std::vector<float> slopes(c.rows);
  for (int r = 0; r < c.rows; ++r) {
    pointers[r] = &queries[static_cast<size_t>(r) * c.dim];
    positions[r] = std::max(0, c.length - 1 - (c.rows - 1 - r) / 2); // pairs of heads, a token later each
    first_visible[r] = c.window > 0 ? std::max(0, positions[r] - c.window + 1) : 0;
    slopes[r] = 0.1f * static_cast<float>(r + 1);
  }

  AttentionSpan span;
  span.keys = keys.data();
  span.values = values.data();
  if (c.rests) span.key_rests = key_rests.data(), span.value_rests = value_rests.data();
  if (c.kind == Case::kFloat) span.keys = float_keys.data(), span.values = float_values.data();
  if (c.kind == Case::kBytes) span.keys = byte_keys.data(), span.values = byte_values.data();
  span.key_scales = key_scales.data();
  span.value_scales = value_scales.data();
  span.head_dim = c.dim;
  span.scale = 0.3f;
  span.softcap = c.softcap ? 2.0f : 0.0f;
  span.num_queries = c.rows;
  span.queries = pointers.data();
  span.slots = span.last_visible = positions.data();
  span.first_visible = first_visible.data();
  span.slopes = c.alibi ? slopes.data() : nullptr;
  span.tiles = c.tiles;
  // Two pieces, cut at a chunk as the backend cuts them.
  const int cut = std::min(c.length, 128 * (c.length / 256));
  std::vector<float> accumulators[2], maxima[2], sums[2];
  for (int piece = 0; piece < 2; ++piece) {
    accumulators[piece].resize(queries.size());
    maxima[piece].resize(c.rows);
    sums[piece].resize(c.rows);
    span.begin = piece == 0 ? 0 : cut;
    span.end = piece == 0 ? cut : c.length;
    span.accumulators = accumulators[piece].data();
    span.maxima = maxima[piece].data();
    span.sums = sums[piece].data();
    const Kernels& kernels = *isa.kernels;
    (c.kind == Case::kBf16    ? kernels.attention_bf16
     : c.kind == Case::kFloat ? kernels.attention_float
                              : kernels.attention_int8)(span);
  }

  // Sets that multiply pairs of bf16 round the weights to that, or to a sum of two: a score then differs by some 1e-5.
  const std::string name = isa.name;
  const bool rounds = c.kind == Case::kBf16 && (name == "avx512bf16" || name == "amx" || name[0] == 'e');
  for (int r = 0; r < c.rows; ++r) {
    const int first = first_visible[r];
    std::vector<double> expected(c.dim);
    double total = 0;
    for (int p = first; p <= positions[r]; ++p) {
      double score = 0;
      for (int d = 0; d < c.dim; ++d) score += pointers[r][d] * plain_keys[static_cast<size_t>(p) * c.dim + d];
      score *= span.scale;
      if (c.softcap) score = 2 * std::tanh(score / 2);
      if (c.alibi) score += slopes[r] * (p - positions[r]);
      total += std::exp(score);
      for (int d = 0; d < c.dim; ++d) expected[d] += std::exp(score) * plain_values[static_cast<size_t>(p) * c.dim + d];
    }
    const float highest = std::max(maxima[0][r], maxima[1][r]);
    const float weights[2] = {std::exp(maxima[0][r] - highest), std::exp(maxima[1][r] - highest)};
    for (int d = 0; d < c.dim; ++d) {
      double found = 0, mass = 0;
      for (int piece = 0; piece < 2; ++piece) {
        found += weights[piece] * accumulators[piece][static_cast<size_t>(r) * c.dim + d];
        mass += weights[piece] * sums[piece][r];
      }
      const double most = c.rests ? 2e-4 : rounds ? 1e-2 : 1e-5;
      CHECK(std::fabs(found / mass - expected[d] / total) <= most,
            std::string(isa.name) + " off by " + std::to_string(found / mass - expected[d] / total) + " length " +
                std::to_string(c.length) + " dim " + std::to_string(c.dim) + " rows " + std::to_string(c.rows) +
                " window " + std::to_string(c.window) + " kind " + std::to_string(c.kind));
    }
  }
}

void test_many_queries(const Isa& isa) {
  std::mt19937 random(5);
  for (const int length : {40, 128, 129, 150, 300})
    for (const int rows : {8, 9, 16, 17, 32, 45}) {
      test(isa, random, {length, 64, rows, 0, false, false, Case::kBf16, true});
      test(isa, random, {length, 80, rows, 0, true, false, Case::kBf16, true}); // no whole tiles
      test(isa, random, {length, 128, rows, 33, true, true, Case::kBf16, true});
    }
  test(isa, random, {513, 256, 33, 0, false, false, Case::kBf16, true});
  for (const int rows : {9, 45}) // the scores rise steeply from chunk to chunk
    test(isa, random, {300, 64, rows, 0, true, false, Case::kBf16, true});
  if (isa.kernels->gemm_large_m == nullptr) return; // without tiles, a backend keeps floats instead of rests
  for (const int length : {7, 40, 129, 300})
    for (const int rows : {1, 9, 17, 45}) {
      test(isa, random, {length, 64, rows, 0, false, false, Case::kBf16, true, true});
      test(isa, random, {length, 96, rows, 33, true, true, Case::kBf16, true, true});
    }
  test(isa, random, {513, 256, 33, 0, false, false, Case::kBf16, true, true});
}

} // namespace

int main() {
  test_many_queries(kEmulatedTiles);
  for_each_isa(test_many_queries);
  for_each_isa([](const Isa& isa) {
    std::mt19937 random(3);
    for (const int length : {1, 15, 16, 17, 127, 128, 129, 300, 513})
      for (const int rows : {1, 2, 3, 4, 7, 9}) {
        test(isa, random, {length, 64, rows, 0, false, false});
        test(isa, random, {length, 80, rows, 0, true, false});
        test(isa, random, {length, 128, rows, 33, false, true});
      }
    test(isa, random, {200, 256, 4, 64, true, true});
    test(isa, random, {200, 80, 5, 0, true, true, Case::kFloat});
    test(isa, random, {513, 64, 3, 100, false, false, Case::kFloat});
    for (const int length : {1, 16, 17, 129, 300})
      for (const int rows : {1, 2, 3, 4, 7}) {
        test(isa, random, {length, 64, rows, 0, false, false, Case::kBytes});
        test(isa, random, {length, 80, rows, 0, true, false, Case::kBytes});
        test(isa, random, {length, 128, rows, 33, false, true, Case::kBytes});
      }
    test(isa, random, {200, 256, 4, 64, true, true, Case::kBytes});
  });
  return 0;
}
