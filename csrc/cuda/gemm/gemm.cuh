// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the products y = W x of one and of many tokens share: a tile of 16 weight rows is one operand of the tensor cores,
// 8 tokens are the other, and sums are float.
//
// The layout is the CPU's. In it a step of columns of all 16 rows of a tile is 64 bytes, and a lane takes 8 of them: two
// neighbouring rows. Which rows and columns of the tensor cores' matrices those are is free, as long as both operands agree:
// so a warp reads 256 contiguous bytes at a time, front to back, and straight into the operand's registers. The columns of a
// lane are neighbours in the tokens, too: they come in one load, where others need ldmatrix.
#pragma once

#include <type_traits>

#include "cuda/elementwise/activation.cuh"
#include "cuda/gemm/gemm.h"
#include "cuda/gemm/scales.cuh"
#include "cuda/primitives/pdl.cuh"
#include "cuda/primitives/ptx.h"

namespace tinychat::cuda {

// What a lane loads at once: its two rows of `kSpan` columns, of which `kColumns` are its own.
//
//   weights()  operands of kProducts multiplications, scaled
//   tokens()   the other operands for the same columns
//   numbers()  for few tokens and large groups: the weights as stored, match() what they need of the tokens, add_sums() what
//              becomes of the sums of a group. kPlain: that needs the sums of the tokens themselves
//
// Where one token is decoded, a warp has `kAhead` stretches of weights on their way.
struct SixteenBits { // of tokens: what is multiplied, and summed up
  static constexpr bool kBytes = false, kPlain = false;
  using Token = uint16_t;
  using Weights = uint32_t[4];
  using Tokens = uint32_t[2];
  using Sum = float;
};

template <Number kNumber, Offset kWhich>
struct Four : SixteenBits {
  static constexpr Offset kOffset = kWhich;
  static constexpr int kSpan = 32, kProducts = 2, kAhead = 2;
  static constexpr int kColumns = 8, kColumnBytes = 8; // columns of a lane; bytes of a tile's column
  static constexpr bool kPlain = true;
  using Load = uint2;
  using Rows = RowScales<kNumber, kOffset>;

  // The lane's place in the first columns of a tile; a later column lies kColumnBytes times as far behind it.
  __device__ static int place(int g, int t) { return 64 * t + 8 * g; }
  __device__ static Load load(const uint8_t* at) { return *reinterpret_cast<const uint2*>(at); }
  __device__ static Load load_once(const uint8_t* at) { return __ldcs(reinterpret_cast<const uint2*>(at)); }
  __device__ static void weights(const Load& load, const Rows& rows, uint32_t (&a)[kProducts][4]) {
    const uint32_t words[2] = {in_pairs(load.x), in_pairs(load.y)};
#pragma unroll
    for (int row = 0; row < 2; ++row)
#pragma unroll
      for (int i = 0; i < 2; ++i) { // columns 0 and 1, 2 and 3; 4 and 5, 6 and 7
        a[0][2 * i + row] = rows.weights(row, from_low_nibbles<kNumber>(words[row] >> 8 * i, rows.zeros[row]));
        a[1][2 * i + row] = rows.weights(row, from_high_nibbles<kNumber>(words[row] >> 8 * i, rows.zeros[row]));
      }
  }
  // In fp16 the bits 0000q are the number q / 2^24, and 000q0 is 16 times that: a mask is all it takes.
  __device__ static void numbers(const Load& load, uint32_t (&a)[kProducts][4]) {
    static_assert(kNumber == Number::kHalf);
    const uint32_t words[2][2] = {{low_bytes(load.x), high_bytes(load.x)}, {low_bytes(load.y), high_bytes(load.y)}};
#pragma unroll
    for (int row = 0; row < 2; ++row)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        a[0][2 * i + row] = words[row][i] & 0x000f000fu;
        a[1][2 * i + row] = words[row][i] & 0x00f000f0u;
      }
  }
  // What is 16 times too much meets 1/16 of the tokens.
  __device__ static void match(uint32_t (&b)[kProducts][2]) {
    for (uint32_t& two : b[1]) two = multiply_add<kNumber>(two, 0x2c002c00u, 0);
  }
  __device__ static void add_sums(const float (&sums)[4], const float (&plain)[4], const StoredScales& stored, int g,
                                  float (&total)[4]) {
    const SumScales rows = SumScales::of<kOffset>(stored, g, 0x1p-24f, 0.0f);
#pragma unroll
    for (int i = 0; i < 4; ++i) total[i] += rows.scale[i / 2] * sums[i] + rows.offset[i / 2] * plain[i];
  }
  // The same columns of a token: x points to the lane's 8.
  __device__ static void tokens(const uint16_t* x, uint32_t (&b)[kProducts][2]) {
    const uint4 eight = *reinterpret_cast<const uint4*>(x);
    b[0][0] = eight.x;
    b[0][1] = eight.y;
    b[1][0] = eight.z;
    b[1][1] = eight.w;
  }
};
template <Number kNumber>
using FourZero = Four<kNumber, Offset::kZeros>;
template <Number kNumber>
using FourMin = Four<kNumber, Offset::kMins>;

// Four columns of a lane: half a load of tokens.
template <Number kNumber>
struct FourColumns : SixteenBits {
  static constexpr Offset kOffset = Offset::kNone;
  static constexpr int kSpan = 16, kProducts = 1, kAhead = 1, kColumns = 4;
  using Rows = RowScales<kNumber, kOffset>;

  __device__ static void tokens(const uint16_t* x, uint32_t (&b)[kProducts][2]) {
    const uint2 four = *reinterpret_cast<const uint2*>(x);
    b[0][0] = four.x;
    b[0][1] = four.y;
  }
};

template <Number kNumber>
struct Eight : FourColumns<kNumber> {
  static constexpr int kColumnBytes = 16;
  using Load = uint2;

  __device__ static int place(int g, int t) { return 64 * t + 8 * g; }
  __device__ static Load load(const uint8_t* at) { return *reinterpret_cast<const uint2*>(at); }
  __device__ static Load load_once(const uint8_t* at) { return __ldcs(reinterpret_cast<const uint2*>(at)); }
  __device__ static void weights(const Load& load, const typename Eight::Rows& rows, uint32_t (&a)[1][4]) {
    const uint32_t words[2] = {in_pairs(load.x), in_pairs(load.y)};
#pragma unroll
    for (int row = 0; row < 2; ++row)
#pragma unroll
      for (int i = 0; i < 2; ++i) a[0][2 * i + row] = rows.weights(row, from_bytes<kNumber>(words[row] >> 8 * i));
  }
};

// 16-bit numbers lie column by column: two rows are 4 bytes, and a lane's four columns are four loads. kRounds: fp16 weights
// of a model in bf16.
template <Number kNumber, bool kRounds>
struct Sixteen : FourColumns<kNumber> {
  static constexpr int kColumnBytes = 32;
  using Load = uint4;

  __device__ static int place(int g, int t) { return 128 * t + 4 * g; }
  __device__ static Load load(const uint8_t* at) {
    const auto* rows = reinterpret_cast<const uint32_t*>(at);
    return Load{rows[0], rows[8], rows[16], rows[24]};
  }
  __device__ static Load load_once(const uint8_t* at) {
    const auto* rows = reinterpret_cast<const uint32_t*>(at);
    return Load{__ldcs(rows), __ldcs(rows + 8), __ldcs(rows + 16), __ldcs(rows + 24)};
  }
  __device__ static void weights(const Load& load, const typename Sixteen::Rows&, uint32_t (&a)[1][4]) {
    numbers(load, a);
  }
  __device__ static void numbers(const Load& load, uint32_t (&a)[1][4]) {
    a[0][0] = low_halves(load.x, load.y);
    a[0][1] = high_halves(load.x, load.y);
    a[0][2] = low_halves(load.z, load.w);
    a[0][3] = high_halves(load.z, load.w);
    if (kRounds)
      for (uint32_t& two : a[0]) two = as_numbers<kNumber>(two);
  }
  __device__ static void match(uint32_t (&)[1][2]) {}
  __device__ static void add_sums(const float (&sums)[4], const float (&)[4], const StoredScales&, int,
                                  float (&total)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) total[i] += sums[i];
  }
};
template <Number kNumber>
using SixteenAsIs = Sixteen<kNumber, false>;
template <Number kNumber>
using SixteenRounded = Sixteen<kNumber, true>;

// Weights of 8 bits and tokens of as many are operands as they lie; sums of a group are integers.
template <Number kNumber>
struct EightWithBytes {
  static_assert(kNumber == Number::kBytes);
  static constexpr bool kBytes = true;
  using Token = int8_t;
  using Weights = uint32_t[2];
  using Tokens = uint32_t[1];
  using Sum = int32_t;
  static constexpr Offset kOffset = Offset::kNone;
  static constexpr int kSpan = 16, kProducts = 1, kAhead = 1, kColumns = 4, kColumnBytes = 16;
  static constexpr bool kPlain = false;
  using Load = uint2;

  __device__ static int place(int g, int t) { return 64 * t + 8 * g; }
  __device__ static Load load(const uint8_t* at) { return *reinterpret_cast<const uint2*>(at); }
  __device__ static Load load_once(const uint8_t* at) { return __ldcs(reinterpret_cast<const uint2*>(at)); }
  __device__ static void numbers(const Load& load, uint32_t (&a)[1][2]) {
    a[0][0] = load.x;
    a[0][1] = load.y;
  }
  __device__ static void match(uint32_t (&)[1][1]) {}
  __device__ static void tokens(const int8_t* x, uint32_t (&b)[1][1]) {
    b[0][0] = *reinterpret_cast<const uint32_t*>(x);
  }
  // `scales` of the lane's two tokens
  __device__ static void add_sums(const int32_t (&sums)[4], const float (&scales)[2], const StoredScales& stored,
                                  float (&total)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      total[i] += from_half(static_cast<uint16_t>(stored.scales >> 16 * (i / 2))) * scales[i % 2] *
                  static_cast<float>(sums[i]);
  }
};

// What a kernel has no need of.
struct None {
  template <typename... Any>
  __device__ explicit None(const Any&...) {}
};

// The scales of tokens that are bytes.
class TokenScales {
 public:
  __device__ explicit TokenScales(const Product& p)
      : groups_(p.w.cols, p.w.group), scales_(p.x_scales), each_(p.w.cols / p.w.group), last_(p.rows - 1) {}
  // Of tokens `first` and the next one where `column` is; some scale of those that are not there.
  __device__ void load(int first, int column, float (&scales)[2]) const {
    const float* group = scales_ + groups_.at(column);
    for (int i = 0; i < 2; ++i) scales[i] = group[static_cast<size_t>(first + i < last_ ? first + i : last_) * each_];
  }

 private:
  GroupOf groups_;
  const float* scales_;
  int each_, last_;
};

// A sum of a row of W and a token, with what is left to do with it.
__device__ inline float finished(const Product& p, int row, float value) {
  if (p.w.channel_scales != nullptr) value *= p.w.channel_scales[row];
  return p.w.bias != nullptr ? value + p.w.bias[row] : value;
}

__device__ inline void put(const Product& p, int token, int row, float value) {
  if (token >= p.rows || row >= p.w.rows) return;
  float& out = p.out[static_cast<size_t>(token) * p.w.rows + row];
  value = finished(p, row, value);
  out = p.add ? out + value : value;
}

// `row` of the feed-forward part's hidden numbers, from its own sum and, where it is gated, that of the row beside it.
__device__ inline void put_activated(const Product& p, int token, int row, float value, float beside) {
  const Activated& to = p.activated;
  const int width = to.gated ? p.w.rows / 2 : p.w.rows;
  if (token >= p.rows || row >= width) return;
  float y = activation(to.kind, finished(p, row, value));
  if (to.gated) y *= finished(p, width + row, beside);
  if (to.input_scale != nullptr) y *= to.input_scale[row];
  to.out[static_cast<size_t>(token) * width + row] = to_number(y, to.number);
}

} // namespace tinychat::cuda
