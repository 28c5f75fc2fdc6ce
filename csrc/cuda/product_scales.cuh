// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What makes values of stored integers, and what is done with a sum that is complete.
#pragma once

#include "cuda/product.cuh"

namespace tinychat::cuda {

// A lane's two rows of one group, as they are stored: on their way together with the weights.
struct StoredScales {
  uint32_t scales = 0x3c003c00u; // 1, 1
  uint32_t offsets = 0;          // two minima, or two bytes of zero points
};

// Where the scales of a lane's two rows lie. A division is twenty instructions: here it is one, exact while cols * group is
// less than 2^32.
class LaneScales {
 public:
  __device__ LaneScales(const Linear& w, int tile, int g) : cols_(w.cols), mins_(w.mins != nullptr) {
    if (w.scales == nullptr) return; // of a channel, or of 16-bit numbers
    inverse_ = 0xffffffffu / static_cast<uint32_t>(w.group) + 1;
    const size_t first = static_cast<size_t>(tile) * (w.cols / w.group);
    scales_ = w.scales + first * 16 + 2 * g;
    if (w.mins != nullptr) offsets_ = reinterpret_cast<const uint8_t*>(w.mins + first * 16 + 2 * g);
    if (w.zeros != nullptr) offsets_ = w.zeros + first * 8 + 2 * g % 8;
  }
  __device__ StoredScales load(int column) const {
    StoredScales stored;
    if (scales_ == nullptr || column >= cols_) return stored;
    const auto group = static_cast<uint32_t>(static_cast<uint64_t>(static_cast<uint32_t>(column)) * inverse_ >> 32);
    stored.scales = *reinterpret_cast<const uint32_t*>(scales_ + group * 16);
    if (offsets_ == nullptr) return stored;
    stored.offsets = mins_ ? *reinterpret_cast<const uint32_t*>(offsets_ + group * 32)
                           : *reinterpret_cast<const uint16_t*>(offsets_ + group * 8);
    return stored;
  }

 private:
  int cols_;
  bool mins_;
  uint32_t inverse_ = 0;
  const uint16_t* scales_ = nullptr;
  const uint8_t* offsets_ = nullptr; // minima or zero points
};

// value = scale * (q - zero) + min
template <Number kNumber>
struct RowScales {
  float scale[2], min[2] = {0, 0};
  Zero<kNumber> zeros[2];

  __device__ RowScales(const StoredScales& stored, const Linear& w, int g) {
    scale[0] = from_half(static_cast<uint16_t>(stored.scales));
    scale[1] = from_half(static_cast<uint16_t>(stored.scales >> 16));
    if (w.mins != nullptr) {
      min[0] = from_half(static_cast<uint16_t>(stored.offsets));
      min[1] = from_half(static_cast<uint16_t>(stored.offsets >> 16));
    }
    if (w.zeros != nullptr) {
      // Row j lies in the low nibble of byte j, row j + 8 in the high one.
      const uint32_t bytes = stored.offsets >> (g < 4 ? 0 : 4);
      zeros[0] = Zero<kNumber>(bytes & 0xf);
      zeros[1] = Zero<kNumber>(bytes >> 8 & 0xf);
    }
  }
};

// fp16 weights of a bf16 model.
template <int kProducts>
__device__ inline void round_to_bf16(uint32_t (&a)[kProducts][4]) {
  for (auto& part : a)
    for (uint32_t& two : part)
      two = pair(to_bf16(from_half(static_cast<uint16_t>(two))), to_bf16(from_half(static_cast<uint16_t>(two >> 16))));
}

// A value of y, with what is left to do with it.
__device__ inline void put(const Product& p, int token, int row, float value) {
  if (token >= p.rows || row >= p.w.rows) return;
  if (p.w.channel_scales != nullptr) value *= p.w.channel_scales[row];
  if (p.w.bias != nullptr) value += p.w.bias[row];
  float& out = p.out[static_cast<size_t>(token) * p.w.rows + row];
  out = p.add ? out + value : value;
}

} // namespace tinychat::cuda
