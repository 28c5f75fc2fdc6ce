// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The kernel of product.cuh.
#pragma once

#include "cuda/product.cuh"

namespace tinychat::cuda {

// What a lane's two rows need for the columns of a group: value = scale * (q - zero) + min.
struct RowScales {
  float scale[2] = {1, 1}, min[2] = {0, 0};

  template <Number kNumber>
  __device__ void read(const Linear& w, int tile, int column, int g, uint32_t (&zeros)[2]) {
    zeros[0] = zeros[1] = kUnits<kNumber>;
    if (w.scales == nullptr) return; // of a channel, or of 16-bit numbers
    const size_t at = static_cast<size_t>(tile) * (w.cols / w.group) + column / w.group;
    const uint32_t scales = *reinterpret_cast<const uint32_t*>(w.scales + at * 16 + 2 * g);
    scale[0] = from_half(static_cast<uint16_t>(scales));
    scale[1] = from_half(static_cast<uint16_t>(scales >> 16));
    if (w.mins != nullptr) {
      const uint32_t mins = *reinterpret_cast<const uint32_t*>(w.mins + at * 16 + 2 * g);
      min[0] = from_half(static_cast<uint16_t>(mins));
      min[1] = from_half(static_cast<uint16_t>(mins >> 16));
    }
    if (w.zeros != nullptr) {
      // Row j lies in the low nibble of byte j, row j + 8 in the high one.
      const uint32_t bytes = *reinterpret_cast<const uint16_t*>(w.zeros + at * 8 + 2 * g % 8) >> (g < 4 ? 0 : 4);
      zeros[0] |= (bytes & 0xf) * 0x00010001u;
      zeros[1] |= (bytes >> 8 & 0xf) * 0x00010001u;
    }
  }
};

// A value of y, with what is left to do with it.
__device__ inline void put(const Product& p, int token, int row, float value) {
  if (token >= p.rows || row >= p.w.rows) return;
  if (p.w.channel_scales != nullptr) value *= p.w.channel_scales[row];
  if (p.w.bias != nullptr) value += p.w.bias[row];
  float& out = p.out[static_cast<size_t>(token) * p.w.rows + row];
  out = p.add ? out + value : value;
}

// kTokens: how many tokens a block takes, 8 or more. kSplit: the block's warps share a tile, else each has its own.
// kScaled: columns that surely share their scales, at most a stretch. Grid: (tiles, or blocks of them, blocks of tokens).
template <template <Number> class Format, Number kNumber, int kTokens, bool kSplit, int kScaled>
__global__ void __launch_bounds__(kProductThreads, kSplit ? Format<kNumber>::kBlocks : 1) multiply_tiled(Product p) {
  using F = Format<kNumber>;
  constexpr int kWide = kSplit ? kStretch : kScaled, kLoads = kWide / F::kSpan;
  constexpr int kEights = kTokens / 8, kTogether = kScaled / F::kSpan;
  constexpr uint32_t kOne = kNumber == Number::kHalf ? 0x3c003c00u : 0x3f803f80u;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int tile = kSplit ? blockIdx.x : blockIdx.x * kProductWarps + warp, cols = p.w.cols;
  const int stretches = (cols + kWide - 1) / kWide, step = kSplit ? kProductWarps : 1;
  const int first_token = blockIdx.y * kTokens;
  if (!kSplit && 16 * tile >= p.w.rows) return;
  const uint8_t* weight = p.w.weight + static_cast<size_t>(tile) * cols * F::kColumnBytes;
  const bool rounds = kNumber == Number::kBf16 && p.w.format == WeightFormat::kF16;

  typename F::Load next[kLoads];
  const auto fetch = [&](int stretch) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) next[i] = F::load(weight, cols, stretch * kWide + i * F::kSpan, g, t);
  };
  int stretch = kSplit ? warp : 0;
  if (stretch < stretches) fetch(stretch); // weights do not depend on the kernel before
  await_previous();

  // The lane's columns of one of its eights of tokens.
  const auto tokens = [&](int eight, int column, uint32_t (&b)[F::kProducts][2]) {
    const int token = first_token + 8 * eight + g;
    if (token < p.rows) {
      F::tokens(p.x + static_cast<size_t>(token) * cols + column + F::kColumns * t, b);
      return;
    }
#pragma unroll
    for (int k = 0; k < F::kProducts; ++k) b[k][0] = b[k][1] = 0;
  };

  float total[kEights][4] = {};
  for (; stretch < stretches; stretch += step) {
    typename F::Load now[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) now[i] = next[i];
    if (stretch + step < stretches) fetch(stretch + step);
#pragma unroll
    for (int begin = 0; begin < kLoads; begin += kTogether) {
      const int column = stretch * kWide + begin * F::kSpan;
      if (column >= cols) break;
      RowScales scales;
      uint32_t zeros[2];
      scales.read<kNumber>(p.w, tile, column, g, zeros);
      float sums[kEights][4] = {};
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        if (column + i * F::kSpan >= cols) break;
        uint32_t a[F::kProducts][4];
        F::expand(now[begin + i], zeros, a);
        if (rounds)
          for (auto& part : a)
            for (uint32_t& two : part)
              two = pair(to_bf16(from_half(static_cast<uint16_t>(two))),
                         to_bf16(from_half(static_cast<uint16_t>(two >> 16))));
#pragma unroll
        for (int eight = 0; eight < kEights; ++eight) {
          uint32_t b[F::kProducts][2];
          tokens(eight, column + i * F::kSpan, b);
#pragma unroll
          for (int k = 0; k < F::kProducts; ++k) multiply_tiles<kNumber>(sums[eight], a[k], b[k]);
        }
      }
#pragma unroll
      for (int eight = 0; eight < kEights; ++eight) {
        if (p.w.mins != nullptr) {
          // A matrix of ones sums up the tokens where the products are: at the lane's columns 2t and 2t + 1.
          float plain[4] = {};
          const uint32_t ones[4] = {kOne, kOne, kOne, kOne};
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            if (column + i * F::kSpan >= cols) break;
            uint32_t b[F::kProducts][2];
            tokens(eight, column + i * F::kSpan, b);
#pragma unroll
            for (int k = 0; k < F::kProducts; ++k) multiply_tiles<kNumber>(plain, ones, b[k]);
          }
#pragma unroll
          for (int i = 0; i < 4; ++i) total[eight][i] += scales.min[i / 2] * plain[i];
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) total[eight][i] += scales.scale[i / 2] * sums[eight][i];
      }
    }
  }

  if constexpr (kSplit) {
    __shared__ float parts[kProductWarps][kTokens * 16];
    for (int eight = 0; eight < kEights; ++eight)
      for (int i = 0; i < 4; ++i) parts[warp][(8 * eight + 2 * t + i % 2) * 16 + 2 * g + i / 2] = total[eight][i];
    __syncthreads();
    for (int i = threadIdx.x; i < kTokens * 16; i += kProductThreads) {
      float value = 0;
      for (int w = 0; w < kProductWarps; ++w) value += parts[w][i];
      put(p, first_token + i / 16, tile * 16 + i % 16, value);
    }
  } else {
#pragma unroll
    for (int eight = 0; eight < kEights; ++eight)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        put(p, first_token + 8 * eight + 2 * t + i % 2, tile * 16 + 2 * g + i / 2, total[eight][i]);
  }
}

} // namespace tinychat::cuda
