// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What makes values of stored integers, and what is done with a sum that is complete.
#pragma once

#include "cuda/product.cuh"

namespace tinychat::cuda {

// Where the scales of a tile lie. A division is twenty instructions: here it is one, exact while cols * group < 2^32.
class TileScales {
 public:
  __device__ TileScales(const Linear& w, int tile) : w_(w) {
    if (w.scales == nullptr) return; // of a channel, or of 16-bit numbers
    inverse_ = 0xffffffffu / static_cast<uint32_t>(w.group) + 1;
    first_ = static_cast<size_t>(tile) * (w.cols / w.group);
  }
  __device__ size_t at(int column) const {
    return first_ + static_cast<uint32_t>(static_cast<uint64_t>(column) * inverse_ >> 32);
  }
  __device__ const Linear& w() const { return w_; }

 private:
  const Linear& w_;
  uint32_t inverse_ = 0;
  size_t first_ = 0;
};

// A lane's two rows of one group, as they are stored: on their way together with the weights.
struct StoredScales {
  uint32_t scales = 0x3c003c00u; // 1, 1
  uint32_t offsets = 0;          // two minima, or two bytes of zero points

  __device__ static StoredScales load(const TileScales& tile, int column, int g) {
    StoredScales stored;
    const Linear& w = tile.w();
    if (w.scales == nullptr || column >= w.cols) return stored;
    const size_t at = tile.at(column);
    stored.scales = *reinterpret_cast<const uint32_t*>(w.scales + at * 16 + 2 * g);
    if (w.mins != nullptr) stored.offsets = *reinterpret_cast<const uint32_t*>(w.mins + at * 16 + 2 * g);
    if (w.zeros != nullptr) stored.offsets = *reinterpret_cast<const uint16_t*>(w.zeros + at * 8 + 2 * g % 8);
    return stored;
  }
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
