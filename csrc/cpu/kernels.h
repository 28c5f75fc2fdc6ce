// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The inner loops, as a table of functions. kernels.cpp is compiled once per instruction set, with the sixteen-lane
// operations of simd/*.h, and isa.cpp selects a table at run time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "decoder/model.h"

namespace tinychat {

// The input of a matrix, [tokens][cols]: floats, or integers with a scale for each group of columns. The integers are int8, or
// 16 bits as two int8 digits: 256 * first + second.
struct Activations {
  const float* values = nullptr;      // [tokens][cols], or
  const int8_t* quantized = nullptr;  // [tokens][digits][cols]
  const float* scales = nullptr;      // [tokens][groups]
  const int32_t* sums = nullptr;      // [tokens][groups], of the integers
  const float* scaled_sums = nullptr; // [tokens][groups], scale * sum
  int cols = 0;
  int groups = 0;
  // Instead of all fields above: bf16 in the layout of pack_bf16, or of pack_two_bf16 for 16-bit weights.
  const uint16_t* packed = nullptr;
};

// The destination of a tile's products: 16 numbers per token t, or fewer in the last tile, at at(t). With `add` they are added
// to the numbers there.
struct Output {
  float* to = nullptr; // [tokens][stride]
  size_t stride = 0;
  bool add = false;
  float* const* rows = nullptr; // one pointer per token, instead of `to`
  size_t column = 0;

  float* at(int token) const { return (rows != nullptr ? rows[token] : to + token * stride) + column; }
  Output behind(size_t columns) const { return {to, stride, add, rows, column + columns}; }
  Output from(int token) const {
    return rows != nullptr ? Output{nullptr, 0, add, rows + token, column}
                           : Output{to + token * stride, stride, add, nullptr, column};
  }
};

constexpr int kMostHeadDim = 256;
constexpr int kMostTokens = 288;       // of a GEMM
constexpr int kPanelColumns = 32;      // of a step of gemm_large_m
constexpr int kChannelDigitGroup = 32; // columns of 16-bit activations that share a scale if a weight has one per row
constexpr int kByteZero = 128;         // a cached byte is q + 128, so all instruction sets can widen it in the same way

// Many tokens times pairs of tiles of weights.
struct PanelJob {
  const Linear& w;
  int begin = 0, end = 0; // the first tiles of the pairs,
  int apart = 1;          // and how far behind each the second is. 1: pairs of neighbours; the last may be a tile alone
  const uint16_t* x = nullptr; // in the layout of pack_bf16, or, if w has 16 bits, of pack_two_bf16
  int num_tokens = 0;          // at most kMostTokens
  Output first, second;        // of the first pair; without `rows`
  int advance = 16;            // from the output of a tile to that of the next
  void (*done)(const void* context, int tile,
               int count) = nullptr; // called with the first of a pair and how many they are
  const void* context = nullptr;

  template <typename Done>
  void call_after_each_pair(const Done& after) {
    done = [](const void* context, int tile, int count) { (*static_cast<const Done*>(context))(tile, count); };
    context = &after;
  }
};

// Queries of the same KV head, over the positions [begin, end) of the cache. The softmax state is kept, so that a long cache
// can be processed in pieces that are merged afterwards.
struct AttentionSpan {
  const void* keys = nullptr;             // bf16, float or bytes, in the layout of CpuKvCache
  const void* values = nullptr;           // the same; bf16: if `end` is odd, the number at `end` must be finite
  const void* key_rests = nullptr;        // of bf16: what its rounding left, in bf16; only with `tiles`. Or null
  const void* value_rests = nullptr;      // the same
  const uint16_t* key_scales = nullptr;   // of bytes, fp16 [capacity/16][groups of kKeyGroup channels][16]
  const uint16_t* value_scales = nullptr; // of bytes, fp16 [capacity]
  int head_dim = 0;
  int begin = 0;
  int end = 0;
  float scale = 0;
  float softcap = 0;

  int num_queries = 0;
  const float* const* queries = nullptr; // [num_queries] -> [head_dim]
  const int* slots = nullptr;            // [num_queries], the slot of a query's token
  const int* first_visible = nullptr;    // [num_queries], a query attends to the slots first_visible … last_visible
  const int* last_visible = nullptr;
  const float* slopes = nullptr; // ALiBi [num_queries] or null
  bool tiles = false;            // multiply the queries as bf16 tiles, if the instruction set has them

  float* accumulators = nullptr; // [num_queries][head_dim]: sum of exp(score - maximum) * value
  float* maxima = nullptr;       // [num_queries]
  float* sums = nullptr;         // [num_queries]: sum of exp(score - maximum)
};

struct Kernels {
  // The 16 rows of tile `tile` of w, times `num_tokens` tokens of x, plus the bias. One function for float input, one for
  // int8, one for two digits. kW4Zero without zeros: all zero points are 8.
  void (*gemm_float)(const Linear& w, int tile, const Activations& x, int num_tokens, const Output& out);
  void (*gemm_int8)(const Linear& w, int tile, const Activations& x, int num_tokens, const Output& out);
  void (*gemm_two_digits)(const Linear& w, int tile, const Activations& x, int num_tokens, const Output& out);
  // Null if digits are faster.
  void (*gemm_large_m)(const PanelJob& job);
  // Writes x[cols] as row `row` of [rows/16][cols/32][16][32] in bf16.
  void (*pack_bf16)(const float* x, int cols, int row, uint16_t* packed);
  // The same as sums of two bf16 numbers, [rows/16][steps][2][16][32]; cols need not be a multiple of 32. Relative error 2^-16.
  void (*pack_two_bf16)(const float* x, int cols, int row, uint16_t* packed);
  // x[cols] -> bytes [cols], or digits [2][cols]; per group: scale = max|x| / 127 (digits: / 127 / 256), sum of the
  // integers, scale * sum. A group with an infinity or a NaN has the scale NaN.
  void (*quantize_int8)(const float* x, int cols, int group, int8_t* q, float* scales, int32_t* sums,
                        float* scaled_sums);
  void (*quantize_two_digits)(const float* x, int cols, int group, int8_t* q, float* scales, int32_t* sums,
                              float* scaled_sums);
  // out = norm(x) * weight + bias; bias may be null; n a multiple of 16; out may be x.
  void (*norm)(Norm kind, const float* x, const float* weight, const float* bias, float eps, int n, float* out);
  // out = act(gate) * up, or act(gate) if up is null; `rows` rows of 16 numbers, `stride` numbers apart in `out`.
  void (*activate)(Activation kind, const float* gate, const float* up, int rows, float* out, size_t stride);
  // x *= factor, element by element.
  void (*scale)(float* x, const float* factors, int n);
  void (*attention_bf16)(const AttentionSpan& span);
  void (*attention_float)(const AttentionSpan& span);
  void (*attention_int8)(const AttentionSpan& span);
  // Reads `lines` lines of 64 bytes and returns a number that depends on all of them.
  int32_t (*read)(const uint8_t* memory, size_t lines);
};

} // namespace tinychat
