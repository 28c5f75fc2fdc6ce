// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The attention kernels against the definition, in every shape that a model family has: a prompt with a bidirectional span, single
// tokens, a few tokens at once, and sequences that are not causal.

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

// The prompt is read in one block of queries and then in three, over four tiles of keys; a span covers two of them.
constexpr int kPrompt = 215, kSingle = 2, kFew = 4, kCapacity = 230, kLayers = 2, kLayer = 1;
constexpr int kTokens = kSingle + kFew;     // after the prompt
constexpr int kManyFree = 70, kFewFree = 5; // tokens of sequences that are not causal

// An int8 cache holds the same numbers as the CPU's. A key's last place may differ: its rotation is rounded in another order.
void check_int8(const CacheShape& shape, uint8_t* memory, const PlainAttention& plain, const std::vector<float>& qkv,
                const std::string& name) {
  const int dim = shape.head_dim, width = (plain.heads + 2 * plain.kv_heads) * dim;
  for (int kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    TokenParams token = {};
    token.cache = memory;
    token.capacity = shape.capacity;
    token.is_cached = 1;
    const CacheHead cache(shape, token, kLayer, kv_head);
    for (int p = 0; p < kPrompt + kTokens; ++p) {
      const float* key = &qkv[static_cast<size_t>(p) * width + (plain.heads + kv_head) * dim];
      const auto equal = [&](const auto* x, int count, const uint8_t* bytes, uint16_t scale, int tolerance) {
        const PlainBytes expected(x, count);
        CHECK(std::abs(scale - expected.scale) <= tolerance, name);
        for (int i = 0; i < count; ++i)
          CHECK(std::abs(static_cast<int8_t>(bytes[i]) - expected.bytes[i]) <= tolerance, name);
      };
      const PlainAttention::Row rotated = plain.prepared(key, plain.k_norm, p);
      for (int begin = 0; begin < dim; begin += kKeyGroup)
        equal(&rotated[begin], std::min(kKeyGroup, dim - begin), cache.keys + p * dim + begin,
              cache.key_scales[p * shape.groups() + begin / kKeyGroup], 1);
      equal(key + plain.kv_heads * dim, dim, cache.values + p * dim, cache.value_scales[p], 0);
    }
  }
}

// A device cache in host memory.
struct Cache {
  CacheShape shape;
  std::vector<uint8_t> memory;

  explicit Cache(const CacheShape& shape) : shape(shape), memory(shape.total_bytes() + 16, 0xff) {}
  uint8_t* data() { return memory.data() + (16 - reinterpret_cast<uintptr_t>(memory.data()) % 16); }
};

struct Test {
  std::string name;
  const Case& c;
  bool int8;
  std::mt19937 random{1};
  PlainAttention plain;
  int width;
  std::vector<float> scale, partials;
  std::vector<unsigned> split_counters;

  Test(const Case& c, bool int8)
      : name(std::string(c.name) + (int8 ? ", int8" : "")),
        c(c),
        int8(int8),
        plain{c.heads, c.kv_heads, c.dim, c.half, c.window, 1 / std::sqrt(c.dim), c.softcap, 1e-5, {}, {}, {}, {}},
        width((c.heads + 2 * c.kv_heads) * c.dim),
        partials(static_cast<size_t>(kFew + 1) * c.heads * kMaxSplits * (c.dim + 2)),
        split_counters((kFew + 1) * c.heads) {
    if (int8) plain.key_group = kKeyGroup;
    if (c.norms) plain.q_norm = plain.k_norm = random_floats(random, c.dim);
    for (int i = 0; i < c.half; ++i) plain.frequencies.push_back(std::pow(1e4f, -static_cast<float>(i) / c.half));
    if (c.alibi)
      for (int h = 0; h < c.heads; ++h) plain.slopes.push_back(std::pow(2.0f, -8.0f * (h + 1) / c.heads));
    scale = random_floats(random, c.heads * c.dim);
  }

  CacheShape shape(int layers, int capacity) const { return {layers, c.kv_heads, c.dim, capacity, int8}; }

  // Runs tokens of a sequence whose slots begin at `first_slot` of the cache. tokens[i] is token first + i of the sequence,
  // and qkv has all of the sequence.
  void run(std::vector<TokenParams> tokens, int first, int first_slot, const std::vector<float>& qkv) {
    const int count = static_cast<int>(tokens.size());
    std::vector<float> mine(qkv.begin() + static_cast<size_t>(first) * width,
                            qkv.begin() + static_cast<size_t>(first + count) * width);
    std::vector<float> cosines(count * c.half), sines(count * c.half);
    for (int r = 0; r < count; ++r)
      for (int i = 0; i < c.half; ++i) {
        const float angle = static_cast<float>(first + r) * plain.frequencies[i];
        cosines[r * c.half + i] = std::cos(angle);
        sines[r * c.half + i] = std::sin(angle);
      }
    std::vector<uint16_t> out(static_cast<size_t>(count) * c.heads * c.dim);
    Attention a = {};
    a.params = tokens.data();
    a.cache = shape(kLayers, kCapacity);
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
    a.dtype = DType::kFp16;
    a.qkv = mine.data();
    a.out = out.data();
    a.partials = partials.data();
    a.split_counters = split_counters.data();
    if (count == 1) {
      attention_decode_fused({}, a, c.splits);
    } else {
      rotate_and_store({}, a, count);
      if (count <= kFew + 1) attention_decode({}, a, count, c.splits);
      else prefill(a, tokens);
    }
    for (int r = 0; r < count; r += count > 8 ? 7 : 1) {
      const TokenParams& token = tokens[r];
      compare(&out[static_cast<size_t>(r) * c.heads * c.dim],
              plain.output(qkv, first + r, token.first_visible(c.window) - first_slot,
                           token.end_visible(c.window) - first_slot),
              first + r);
    }
    for (unsigned counter : split_counters) CHECK(counter == 0, name);
  }

  static void prefill(const Attention& a, const std::vector<TokenParams>& tokens) {
    std::vector<QueryBlock> blocks;
    for (int begin = 0; begin < static_cast<int>(tokens.size()); begin += kPrefillQueries) {
      QueryBlock block = {begin, std::min(kPrefillQueries, static_cast<int>(tokens.size()) - begin), 1 << 30, 0};
      for (int i = begin; i < begin + block.num_tokens; ++i) {
        block.span_begin = std::min(block.span_begin, tokens[i].span_begin);
        block.end_slot = std::max({block.end_slot, tokens[i].end_slot, tokens[i].span_end});
      }
      blocks.push_back(block);
    }
    attention_prefill({}, a, blocks.data(), static_cast<int>(blocks.size()));
  }

  void compare(const uint16_t* out, const PlainAttention::Row& expected, int token) const {
    double error = 0, size = 0;
    for (int i = 0; i < c.heads * c.dim; ++i) {
      const double found = half_to_float(out[i]), e = expected[i] * scale[i];
      error += (found - e) * (found - e);
      size += e * e;
    }
    const double bound = int8 ? 2e-3 : 1e-3; // a rotated key may be rounded to another int8 than in double precision
    CHECK(std::sqrt(error / size) < bound,
          name + ", token " + std::to_string(token) + ": " + std::to_string(std::sqrt(error / size)));
  }
};

// Tokens first … of a causal sequence; those in [span_begin, span_end) see each other.
std::vector<TokenParams> causal(Cache& cache, int first, int count, int span_begin = 0, int span_end = 0) {
  std::vector<TokenParams> tokens;
  for (int slot = first; slot < first + count; ++slot) {
    const bool in_span = span_begin <= slot && slot < span_end;
    tokens.push_back({cache.data(),
                      cache.shape.capacity,
                      1,
                      0,
                      {},
                      slot,
                      0,
                      slot + 1,
                      in_span ? span_begin : slot,
                      in_span ? span_end : slot + 1});
  }
  return tokens;
}

void test_causal(const Case& c, bool int8) {
  Test test(c, int8);
  Cache cache(test.shape(kLayers, kCapacity));
  const std::vector<float> qkv = random_floats(test.random, static_cast<size_t>(kPrompt + kTokens) * test.width);
  test.run(causal(cache, 0, 40), 0, 0, qkv);
  test.run(causal(cache, 40, kPrompt - 40, 90, 150), 40, 0, qkv);
  for (int i = 0; i < kSingle; ++i) test.run(causal(cache, kPrompt + i, 1), kPrompt + i, 0, qkv);
  const int few = kPrompt + kSingle;
  test.run(causal(cache, few, kFew, few + 1, few + 3), few, 0, qkv);
  if (int8) check_int8(cache.shape, cache.data(), test.plain, qkv, test.name);
}

// In the one layer of a scratch cache, behind another sequence.
void test_not_causal(const Case& c, bool int8) {
  constexpr int kFirst = 3;
  Test test(c, int8);
  Cache cache(test.shape(1, kFirst + kManyFree));
  const std::vector<float> qkv = random_floats(test.random, static_cast<size_t>(kManyFree) * test.width);
  for (int count : {kManyFree, kFewFree, 1}) {
    std::vector<TokenParams> tokens;
    for (int slot = kFirst; slot < kFirst + count; ++slot)
      tokens.push_back({cache.data(), cache.shape.capacity, 0, 0, {}, slot, kFirst, kFirst + count, slot, slot + 1});
    test.run(tokens, 0, kFirst, qkv);
  }
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
    for (bool int8 : {false, true}) {
      test_causal(c, int8);
      test_not_causal(c, int8);
    }
    std::printf("%s: passed\n", c.name);
  }
}
