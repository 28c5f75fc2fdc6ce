// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What gemm_small_m and gemm_large_m share: a tile of 16 weight rows is one operand of mma, 8 tokens are the other, and sums
// are float.
//
// The weight layout is the CPU's (r16k4). In it, 4 (or 8) columns of all 16 rows of a tile are 64 bytes, of which a lane takes
// 8: two neighbouring rows. Which rows and columns of mma's matrices those are is free as long as both operands agree. A warp
// therefore reads 256 contiguous bytes straight into operand registers. A lane's columns are contiguous in the tokens as well:
// one plain load replaces ldmatrix.
#pragma once

#include <type_traits>

#include "cuda/elementwise/activation.cuh"
#include "cuda/gemm/gemm.h"
#include "cuda/gemm/scales.cuh"
#include "cuda/primitives/pdl.cuh"
#include "cuda/primitives/ptx.h"

namespace tinychat::cuda {

// A weight format: how a lane loads its two rows of `kSpan` columns, of which `kColumns` are its own, and makes operands of
// them.
//
//   weights()    the weight operands of kMmas multiplications, scaled
//   tokens()     the token operands for the same columns
//   unscaled()   for few tokens and large groups: the weights as stored. match() adapts the tokens to them, add_sums() scales
//                the sums of a group; kPlain: it also needs the sums of the tokens
//
// gemm_small_m keeps `kAhead` chunks of a warp's weights in flight.
struct Activations16 { // 16-bit activations: types of the operands and sums
  static constexpr bool kBytes = false, kPlain = false;
  using Token = uint16_t;
  using Weights = uint32_t[4];
  using Tokens = uint32_t[2];
  using Sum = float;
};

template <DType kDType, Offset kWhich>
struct W4 : Activations16 {
  static constexpr Offset kOffset = kWhich;
  static constexpr int kSpan = 32, kMmas = 2, kAhead = 2;
  static constexpr int kColumns = 8, kColumnBytes = 8; // columns of a lane; bytes of a tile's column
  static constexpr bool kPlain = true;
  using Load = uint2;
  using Rows = RowScales<kDType, kOffset>;

  // The lane's offset in the first columns of a tile; column c is c * kColumnBytes further.
  __device__ static int lane_offset(int g, int t) { return 64 * t + 8 * g; }
  __device__ static Load load(const uint8_t* at) { return *reinterpret_cast<const uint2*>(at); }
  __device__ static Load load_once(const uint8_t* at) { return __ldcs(reinterpret_cast<const uint2*>(at)); }
  __device__ static void weights(const Load& load, const Rows& rows, uint32_t (&a)[kMmas][4]) {
    const uint32_t words[2] = {in_pairs(load.x), in_pairs(load.y)};
#pragma unroll
    for (int row = 0; row < 2; ++row)
#pragma unroll
      for (int i = 0; i < 2; ++i) { // columns 0 and 1, 2 and 3; 4 and 5, 6 and 7
        a[0][2 * i + row] = rows.weights(row, from_low_nibbles<kDType>(words[row] >> 8 * i, rows.zeros[row]));
        a[1][2 * i + row] = rows.weights(row, from_high_nibbles<kDType>(words[row] >> 8 * i, rows.zeros[row]));
      }
  }
  // In fp16 the bits 0000q are the number q / 2^24, and 000q0 is 16 times that: a mask is enough to convert.
  __device__ static void unscaled(const Load& load, uint32_t (&a)[kMmas][4]) {
    static_assert(kDType == DType::kFp16);
    const uint32_t words[2][2] = {{low_bytes(load.x), high_bytes(load.x)}, {low_bytes(load.y), high_bytes(load.y)}};
#pragma unroll
    for (int row = 0; row < 2; ++row)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        a[0][2 * i + row] = words[row][i] & 0x000f000fu;
        a[1][2 * i + row] = words[row][i] & 0x00f000f0u;
      }
  }
  // Weights that are 16 times too large meet tokens scaled by 1/16.
  __device__ static void match(uint32_t (&b)[kMmas][2]) {
    for (uint32_t& two : b[1]) two = fma2<kDType>(two, 0x2c002c00u, 0);
  }
  __device__ static void add_sums(const float (&sums)[4], const float (&plain)[4], const StoredScales& stored, int g,
                                  float (&total)[4]) {
    const SumScales rows = SumScales::of<kOffset>(stored, g, 0x1p-24f, 0.0f);
#pragma unroll
    for (int i = 0; i < 4; ++i) total[i] += rows.scale[i / 2] * sums[i] + rows.offset[i / 2] * plain[i];
  }
  // The same columns of a token; x points to the lane's 8.
  __device__ static void tokens(const uint16_t* x, uint32_t (&b)[kMmas][2]) {
    const uint4 eight = *reinterpret_cast<const uint4*>(x);
    b[0][0] = eight.x;
    b[0][1] = eight.y;
    b[1][0] = eight.z;
    b[1][1] = eight.w;
  }
};
template <DType kDType>
using W4Zero = W4<kDType, Offset::kZeros>;
template <DType kDType>
using W4Min = W4<kDType, Offset::kMins>;

// Formats with four columns a lane.
template <DType kDType>
struct FourColumns : Activations16 {
  static constexpr Offset kOffset = Offset::kNone;
  static constexpr int kSpan = 16, kMmas = 1, kAhead = 1, kColumns = 4;
  using Rows = RowScales<kDType, kOffset>;

  __device__ static void tokens(const uint16_t* x, uint32_t (&b)[kMmas][2]) {
    const uint2 four = *reinterpret_cast<const uint2*>(x);
    b[0][0] = four.x;
    b[0][1] = four.y;
  }
};

template <DType kDType>
struct W8 : FourColumns<kDType> {
  static constexpr int kColumnBytes = 16;
  using Load = uint2;

  __device__ static int lane_offset(int g, int t) { return 64 * t + 8 * g; }
  __device__ static Load load(const uint8_t* at) { return *reinterpret_cast<const uint2*>(at); }
  __device__ static Load load_once(const uint8_t* at) { return __ldcs(reinterpret_cast<const uint2*>(at)); }
  __device__ static void weights(const Load& load, const typename W8::Rows& rows, uint32_t (&a)[1][4]) {
    const uint32_t words[2] = {in_pairs(load.x), in_pairs(load.y)};
#pragma unroll
    for (int row = 0; row < 2; ++row)
#pragma unroll
      for (int i = 0; i < 2; ++i) a[0][2 * i + row] = rows.weights(row, from_int8<kDType>(words[row] >> 8 * i));
  }
};

// 16-bit weights are stored column by column: two rows are 4 bytes, and a lane's four columns are four loads. kRounds: fp16
// weights in a bf16 model.
template <DType kDType, bool kRounds>
struct W16 : FourColumns<kDType> {
  static constexpr int kColumnBytes = 32;
  using Load = uint4;

  __device__ static int lane_offset(int g, int t) { return 128 * t + 4 * g; }
  __device__ static Load load(const uint8_t* at) {
    const auto* rows = reinterpret_cast<const uint32_t*>(at);
    return Load{rows[0], rows[8], rows[16], rows[24]};
  }
  __device__ static Load load_once(const uint8_t* at) {
    const auto* rows = reinterpret_cast<const uint32_t*>(at);
    return Load{__ldcs(rows), __ldcs(rows + 8), __ldcs(rows + 16), __ldcs(rows + 24)};
  }
  __device__ static void weights(const Load& load, const typename W16::Rows&, uint32_t (&a)[1][4]) {
    unscaled(load, a);
  }
  __device__ static void unscaled(const Load& load, uint32_t (&a)[1][4]) {
    a[0][0] = low_halves(load.x, load.y);
    a[0][1] = high_halves(load.x, load.y);
    a[0][2] = low_halves(load.z, load.w);
    a[0][3] = high_halves(load.z, load.w);
    for (uint32_t& two : a[0]) compute_here(two); // before `load` receives later weights
    if (kRounds)
      for (uint32_t& two : a[0]) two = as_dtype<kDType>(two);
  }
  __device__ static void match(uint32_t (&)[1][2]) {}
  __device__ static void add_sums(const float (&sums)[4], const float (&)[4], const StoredScales&, int,
                                  float (&total)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) total[i] += sums[i];
  }
};
template <DType kDType>
using W16AsIs = W16<kDType, false>;
template <DType kDType>
using W16Rounded = W16<kDType, true>;

// int8 weights and int8 tokens are operands as they are stored; sums of a group are integers.
template <DType kDType>
struct W8A8 {
  static_assert(kDType == DType::kInt8);
  static constexpr bool kBytes = true;
  using Token = int8_t;
  using Weights = uint32_t[2];
  using Tokens = uint32_t[1];
  using Sum = int32_t;
  static constexpr Offset kOffset = Offset::kNone;
  static constexpr int kSpan = 16, kMmas = 1, kAhead = 1, kColumns = 4, kColumnBytes = 16;
  static constexpr bool kPlain = false;
  using Load = uint2;

  __device__ static int lane_offset(int g, int t) { return 64 * t + 8 * g; }
  __device__ static Load load(const uint8_t* at) { return *reinterpret_cast<const uint2*>(at); }
  __device__ static Load load_once(const uint8_t* at) { return __ldcs(reinterpret_cast<const uint2*>(at)); }
  __device__ static void unscaled(const Load& load, uint32_t (&a)[1][2]) {
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

// Stands for something that an instance does not need.
struct None {
  template <typename... Any>
  __device__ explicit None(const Any&...) {}
};

// The scales of int8 tokens.
class TokenScales {
 public:
  __device__ explicit TokenScales(const Gemm& p)
      : groups_(p.w.cols, p.w.group), scales_(p.x_scales), each_(p.w.cols / p.w.group), last_(p.num_tokens - 1) {}
  // Scales of the tokens `first` and `first` + 1 at `column`; any scale for a token that does not exist.
  __device__ void load(int first, int column, float (&scales)[2]) const {
    const float* group = scales_ + groups_.at(column);
    for (int i = 0; i < 2; ++i) scales[i] = group[static_cast<size_t>(first + i < last_ ? first + i : last_) * each_];
  }

 private:
  GroupOf groups_;
  const float* scales_;
  int each_, last_;
};

// The channel scale and the bias applied to a complete sum.
__device__ inline float finished(const Gemm& p, int row, float value) {
  if (p.w.channel_scales != nullptr) value *= p.w.channel_scales[row];
  return p.w.bias != nullptr ? value + p.w.bias[row] : value;
}

__device__ inline void put(const Gemm& p, int token, int row, float value) {
  if (token >= p.num_tokens || row >= p.w.rows) return;
  float& out = p.out[static_cast<size_t>(token) * p.w.rows + row];
  value = finished(p, row, value);
  out = p.add ? out + value : value;
}

// The activation of hidden number `row`, from its own sum and, in a gated MLP, the sum of its row in the paired tile.
__device__ inline void put_activated(const Gemm& p, int token, int row, float value, float paired) {
  const Activated& to = p.activated;
  const int width = to.gated ? p.w.rows / 2 : p.w.rows;
  if (token >= p.num_tokens || row >= width) return;
  float y = activation(to.kind, finished(p, row, value));
  if (to.gated) y *= finished(p, width + row, paired);
  if (to.input_scale != nullptr) y *= to.input_scale[row];
  to.out[static_cast<size_t>(token) * width + row] = to_dtype(y, to.dtype);
}

} // namespace tinychat::cuda
