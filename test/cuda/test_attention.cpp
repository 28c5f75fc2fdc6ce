// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Both attention kernels against the definition: a prompt, then tokens one by one, in every shape that a family has.

#include "../cpp/check.h"
#include "cpu/half.h"
#include "cuda/attention/attention.h"
#include "cuda/attention/kv_layout.cuh"
#include "reference.h"

using namespace tinychat;
using namespace tinychat::cuda;

namespace {

struct Case {
  const char* name;
  int heads, kv_heads, dim, half, window, splits;
  float softcap;
  bool norms, alibi;
};

// The prompt comes as a block of queries and as three, over four tiles of keys.
constexpr int kPrompt = 215, kTokens = 6, kCapacity = 230, kLayers = 2, kLayer = 1;

// A cache of bytes holds what the CPU's does. A key's last place may differ: its rotation is rounded in another order.
void check_bytes(const CacheShape& shape, uint8_t* memory, const PlainAttention& plain, const std::vector<float>& qkv,
                 const std::string& name) {
  const int dim = shape.head_dim, width = (plain.heads + 2 * plain.kv_heads) * dim;
  for (int kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    const CacheHead cache(shape, memory, kLayer, kv_head);
    for (int p = 0; p < kPrompt + kTokens; ++p) {
      const float* key = &qkv[static_cast<size_t>(p) * width + (plain.heads + kv_head) * dim];
      const auto equal = [&](const auto* x, int count, const uint8_t* bytes, uint16_t scale, int step) {
        const PlainBytes expected(x, count);
        CHECK(std::abs(scale - expected.scale) <= step, name);
        for (int i = 0; i < count; ++i)
          CHECK(std::abs(static_cast<int8_t>(bytes[i]) - expected.bytes[i]) <= step, name);
      };
      const PlainAttention::Row rotated = plain.prepared(key, plain.k_norm, p);
      for (int begin = 0; begin < dim; begin += kKeyGroup)
        equal(&rotated[begin], std::min(kKeyGroup, dim - begin), cache.keys + p * dim + begin,
              cache.key_scales[p * shape.groups() + begin / kKeyGroup], 1);
      equal(key + plain.kv_heads * dim, dim, cache.values + p * dim, cache.value_scales[p], 0);
    }
  }
}

void test(const Case& c, bool bytes) {
  const std::string name = std::string(c.name) + (bytes ? ", bytes" : "");
  std::mt19937 random(1);
  PlainAttention plain{c.heads,   c.kv_heads, c.dim, c.half, c.window, 1 / std::sqrt(c.dim),
                       c.softcap, 1e-5,       {},    {},     {},       {}};
  if (bytes) plain.key_group = kKeyGroup;
  if (c.norms) plain.q_norm = plain.k_norm = random_floats(random, c.dim);
  for (int i = 0; i < c.half; ++i) plain.frequencies.push_back(std::pow(1e4f, -static_cast<float>(i) / c.half));
  if (c.alibi)
    for (int h = 0; h < c.heads; ++h) plain.slopes.push_back(std::pow(2.0f, -8.0f * (h + 1) / c.heads));

  const CacheShape shape{kLayers, c.kv_heads, c.dim, kCapacity, bytes};
  std::vector<uint8_t> cache(shape.total_bytes() + 16, 0xff);
  const size_t aligned = 16 - reinterpret_cast<uintptr_t>(cache.data()) % 16;
  const int width = (c.heads + 2 * c.kv_heads) * c.dim, positions = kPrompt + kTokens;
  const std::vector<float> qkv = random_floats(random, static_cast<size_t>(positions) * width);
  std::vector<float> scale = random_floats(random, c.heads * c.dim);
  std::vector<float> cosines(kPrompt * c.half), sines(kPrompt * c.half), partials(c.heads * kMaxSplits * (c.dim + 2));
  std::vector<unsigned> arrivals(c.heads);
  std::vector<uint16_t> out(static_cast<size_t>(kPrompt) * c.heads * c.dim);
  Step step;

  Attention a = {};
  a.step = &step;
  a.cache = shape;
  a.layer = kLayer;
  a.heads = c.heads;
  a.half = c.half;
  a.window = c.window;
  a.scale = static_cast<float>(plain.scale);
  a.softcap = c.softcap;
  a.norm_eps = 1e-5f;
  a.q_norm = c.norms ? plain.q_norm.data() : nullptr;
  a.k_norm = c.norms ? plain.k_norm.data() : nullptr;
  a.cosines = cosines.data();
  a.sines = sines.data();
  a.slopes = c.alibi ? plain.slopes.data() : nullptr;
  a.input_scale = scale.data();
  a.number = Number::kHalf;
  a.out = out.data();
  a.partials = partials.data();
  a.arrivals = arrivals.data();

  const auto pass = [&](int begin, int rows) {
    std::vector<float> mine(qkv.begin() + static_cast<size_t>(begin) * width,
                            qkv.begin() + static_cast<size_t>(begin + rows) * width);
    a.qkv = mine.data();
    step.cache = cache.data() + aligned;
    step.position = begin;
    step.rows = rows;
    for (int r = 0; r < rows; ++r)
      for (int i = 0; i < c.half; ++i) {
        const float angle = static_cast<float>(begin + r) * plain.frequencies[i];
        cosines[r * c.half + i] = std::cos(angle);
        sines[r * c.half + i] = std::sin(angle);
      }
    if (rows == 1) attend_one({}, a, c.splits);
    else attend_many({}, a, rows);
    for (int r = 0; r < rows; r += rows > 8 ? 7 : 1) {
      const PlainAttention::Row expected = plain.last(qkv, begin + r + 1);
      double error = 0, size = 0;
      for (int i = 0; i < c.heads * c.dim; ++i) {
        const double found = half_to_float(out[static_cast<size_t>(r) * c.heads * c.dim + i]),
                     e = expected[i] * scale[i];
        error += (found - e) * (found - e);
        size += e * e;
      }
      const double bound = bytes ? 2e-3 : 1e-3; // a rotated key may become another byte than in double precision
      CHECK(std::sqrt(error / size) < bound,
            name + ", position " + std::to_string(begin + r) + ": " + std::to_string(std::sqrt(error / size)));
    }
  };
  pass(0, 40);
  pass(40, kPrompt - 40);
  for (int i = 0; i < kTokens; ++i) pass(kPrompt + i, 1);
  for (unsigned count : arrivals) CHECK(count == 0, name);
  if (bytes) check_bytes(shape, cache.data() + aligned, plain, qkv, name);
}

} // namespace

int main() {
  const Case cases[] = {
      {"LLaMA-2", 2, 2, 128, 64, 0, 1, 0, false, false},
      {"LLaMA-2, split", 2, 2, 128, 64, 0, 5, 0, false, false},
      {"SmolLM2", 9, 3, 64, 32, 0, 3, 0, false, false},
      {"Qwen 3", 16, 2, 32, 16, 0, 2, 0, true, false},
      {"Gemma 2", 4, 2, 256, 128, 24, 4, 5, false, false},
      {"Phi 3, part of the head", 3, 3, 96, 24, 33, 2, 0, false, false},
      {"OPT, heads of 80", 2, 2, 80, 0, 0, 1, 0, false, false},
      {"MPT", 3, 3, 48, 0, 0, 3, 0, false, true},
      {"Falcon 7B: one KV head", 11, 1, 64, 32, 0, 64, 0, false, false},
      {"heads of 16", 2, 1, 16, 8, 0, 2, 0, false, false},
  };
  for (const Case& c : cases) {
    test(c, false);
    test(c, true);
    std::printf("%s: passed\n", c.name);
  }
}
