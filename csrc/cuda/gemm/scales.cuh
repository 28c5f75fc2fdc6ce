// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Scales, zero points and minima: how they are loaded and applied.
#pragma once

#include "cuda/primitives/dtype.cuh"
#include "cuda/primitives/pair.cuh"
#include "decoder/model.h"

namespace tinychat::cuda {

// What a group of weights has besides its scale.
enum class Offset { kNone, kZeros, kMins };

// The scales of a lane's two rows in one group, as stored; loaded together with the weights.
struct StoredScales {
  uint32_t scales = 0x3c003c00u; // 1, 1
  uint32_t offsets = 0;          // two bytes of zero points, or two minima
};

// For formats that are scaled per channel at the end, or not at all.
static __device__ const uint32_t kNoScale = 0x3c003c00u; // 1, 1

// The group of a column; columns beyond the last have its group. A multiplication with the inverse replaces the division
// (twenty instructions), exact while cols * group is below 2^32. Without an inverse, all columns are one group.
struct GroupOf {
  int last; // column
  uint32_t inverse = 0;

  __device__ explicit GroupOf(int cols) : last(cols - 1) {}
  __device__ GroupOf(int cols, int group) : last(cols - 1) { divide_by(group); }
  __device__ void divide_by(int group) { inverse = 0xffffffffu / static_cast<uint32_t>(group) + 1; }
  __device__ uint32_t at(int column) const {
    const auto inside = static_cast<uint32_t>(column < last ? column : last);
    return static_cast<uint32_t>(static_cast<uint64_t>(inside) * inverse >> 32);
  }
};

// Loads the scales of a lane's two rows.
template <Offset kOffset>
class LaneScales {
 public:
  __device__ LaneScales(const Linear& w, int tile, int g)
      : groups_(w.cols), scales_(reinterpret_cast<const uint8_t*>(&kNoScale)) {
    if (w.scales == nullptr) return;
    groups_.divide_by(w.group);
    const size_t first = static_cast<size_t>(tile) * (w.cols / w.group);
    scales_ = reinterpret_cast<const uint8_t*>(w.scales + first * 16 + 2 * g);
    if (kOffset == Offset::kMins) offsets_ = reinterpret_cast<const uint8_t*>(w.mins + first * 16 + 2 * g);
    if (kOffset == Offset::kZeros) offsets_ = w.zeros + first * 8 + 2 * g % 8;
  }
  // Beyond the last column: any scale.
  __device__ StoredScales load(int column) const {
    const uint32_t group = groups_.at(column);
    StoredScales stored;
    stored.scales = *reinterpret_cast<const uint32_t*>(scales_ + group * 32);
    if (kOffset == Offset::kMins) stored.offsets = *reinterpret_cast<const uint32_t*>(offsets_ + group * 32);
    if (kOffset == Offset::kZeros) stored.offsets = *reinterpret_cast<const uint16_t*>(offsets_ + group * 8);
    return stored;
  }

 private:
  GroupOf groups_;
  const uint8_t* scales_;
  const uint8_t* offsets_ = nullptr;
};

// The same for groups of kGroup columns, without a division: the constant `offset` is part of the load instruction. Without
// group scales there is nothing to load.
template <Offset kOffset, int kGroup>
class LargeScales {
 public:
  __device__ LargeScales(const Linear& w, int tile, int first, int g) {
    if (kOffset == Offset::kNone) return;
    const size_t group = static_cast<size_t>(tile) * (w.cols / kGroup) + first / kGroup;
    scales_ = reinterpret_cast<const uint8_t*>(w.scales + group * 16 + 2 * g);
    if (kOffset == Offset::kMins) offsets_ = reinterpret_cast<const uint8_t*>(w.mins + group * 16 + 2 * g);
    if (kOffset == Offset::kZeros) offsets_ = w.zeros + group * 8 + 2 * g % 8;
  }
  __device__ void advance(int columns) {
    scales_ += columns / kGroup * 32;
    offsets_ += columns / kGroup * (kOffset == Offset::kMins ? 32 : 8);
  }
  __device__ void load(int offset, StoredScales& stored) const {
    const int group = offset / kGroup;
    stored.scales = *reinterpret_cast<const uint32_t*>(scales_ + group * 32);
    if (kOffset == Offset::kMins) stored.offsets = *reinterpret_cast<const uint32_t*>(offsets_ + group * 32);
    if (kOffset == Offset::kZeros) stored.offsets = *reinterpret_cast<const uint16_t*>(offsets_ + group * 8);
  }

 private:
  const uint8_t* scales_ = nullptr;
  const uint8_t* offsets_ = nullptr;
};

// Two fp16 numbers converted to the activations' type.
template <DType kDType>
__device__ inline uint32_t as_dtype(uint32_t halves) {
  if constexpr (kDType == DType::kFp16) return halves;
  else
    return pair(to_bf16(from_half(static_cast<uint16_t>(halves))),
                to_bf16(from_half(static_cast<uint16_t>(halves >> 16))));
}

// weight = scale * (q - zero) + min, rounded to the activations' type, as a 16-bit model would store it. Each value stands
// twice, for the two columns of a register.
template <DType kDType, Offset kOffset>
struct RowScales {
  uint32_t scale[2], min[2];
  Zero<kDType> zeros[2];

  RowScales() = default;
  __device__ RowScales(const StoredScales& stored, int g) {
    const uint32_t scales = as_dtype<kDType>(stored.scales);
    scale[0] = low_twice(scales);
    scale[1] = high_twice(scales);
    if (kOffset == Offset::kMins) {
      const uint32_t mins = as_dtype<kDType>(stored.offsets);
      min[0] = low_twice(mins);
      min[1] = high_twice(mins);
    }
    if (kOffset == Offset::kZeros) {
      // Row j lies in the low nibble of byte j, row j + 8 in the high one.
      const uint32_t bytes = stored.offsets >> (g < 4 ? 0 : 4);
      zeros[0] = Zero<kDType>(bytes & 0xf);
      zeros[1] = Zero<kDType>(bytes >> 8 & 0xf);
    }
  }
  __device__ uint32_t weights(int row, uint32_t numbers) const {
    return fma2<kDType>(numbers, scale[row], kOffset == Offset::kMins ? min[row] : 0);
  }
};

// The same for few tokens and large groups, where there are fewer sums than weights: y += scale * sum(q x) + offset * sum(x),
// in float. `unit`: the operand's value of q = 1; `base`: of q = 0, in units. It is 0, but without the term the compiler spills
// a register in some instances.
struct SumScales {
  float scale[2], offset[2];

  template <Offset kOffset>
  __device__ static SumScales of(const StoredScales& stored, int g, float unit, float base) {
    static_assert(kOffset != Offset::kNone);
    SumScales rows;
    // Zero points: row j in the low nibble of byte j, row j + 8 in the high one.
    const uint32_t bytes = stored.offsets >> (g < 4 ? 0 : 4);
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const float s = from_half(static_cast<uint16_t>(stored.scales >> 16 * row));
      rows.scale[row] = s / unit;
      rows.offset[row] = kOffset == Offset::kZeros
                             ? -s * (base + static_cast<float>(bytes >> 8 * row & 0xf))
                             : from_half(static_cast<uint16_t>(stored.offsets >> 16 * row)) - s * base;
    }
    return rows;
  }
};

} // namespace tinychat::cuda
