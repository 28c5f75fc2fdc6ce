// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// y = W x for up to 8 tokens: all that counts is that weights never stop to come. The warps of a block share a tile, each
// takes every eighth stretch of columns, and nothing is synchronized before the last one. A register whose weights are used
// is given to those of a later stretch at once, so a warp has 2 KiB or more on their way at any time.
#pragma once

#include "cuda/product_scales.cuh"

namespace tinychat::cuda {

constexpr int kFew = 8;       // tokens of a block
constexpr int kStretch = 128; // columns that a warp takes at a time

// Where columns end, weights are read as zero points and tokens as zeros: no product is left out, none counts.
// kScaled: columns that surely share their scales, at most a stretch. kMins: whether there are minima; with these, or with
// small groups, a multiprocessor's registers hold a block less. Grid: (tiles).
template <template <Number> class Format, Number kNumber, int kScaled, bool kMins>
__global__ void __launch_bounds__(kProductThreads, kMins || kScaled < kStretch ? 2 : 3) multiply_few(Product p) {
  using F = Format<kNumber>;
  constexpr int kLoads = kStretch / F::kSpan, kTogether = kScaled / F::kSpan, kGroups = kStretch / kScaled;
  constexpr uint32_t kOne = kNumber == Number::kHalf ? 0x3c003c00u : 0x3f803f80u;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int tile = blockIdx.x, cols = p.w.cols;
  const uint8_t* weight = p.w.weight + static_cast<size_t>(tile) * cols * F::kColumnBytes + F::place(g, t);
  const LaneScales lane_scales(p.w, tile, g);
  const bool rounds = kNumber == Number::kBf16 && p.w.format == WeightFormat::kF16;

  using Load = typename F::Load;
  Load weights[F::kAhead][kLoads];
  StoredScales scales[F::kAhead][kGroups];
#pragma unroll
  for (int ahead = 0; ahead < F::kAhead; ++ahead) {
    const int column = (warp + ahead * kProductWarps) * kStretch;
#pragma unroll
    for (int i = 0; i < kLoads; ++i)
      weights[ahead][i] = column + i * F::kSpan < cols ? F::load(weight + (column + i * F::kSpan) * F::kColumnBytes)
                                                       : Load{};
#pragma unroll
    for (int i = 0; i < kGroups; ++i) scales[ahead][i] = lane_scales.load(column + i * kScaled);
  }
  await_previous(); // only weights do not depend on the kernel before

  const uint16_t* x = p.x + static_cast<size_t>(g) * cols + F::kColumns * t;
  const bool has_token = g < p.rows;
  constexpr int kFurther = F::kAhead * kProductWarps * kStretch;
  const uint8_t* later = weight + (warp * kStretch + kFurther) * F::kColumnBytes;
  float total[4] = {};
  for (int begin = warp * kStretch; begin < cols; begin += kFurther, later += kFurther * F::kColumnBytes)
#pragma unroll
    for (int ahead = 0; ahead < F::kAhead; ++ahead) {
      const int stretch = begin + ahead * kProductWarps * kStretch;
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const int column = stretch + group * kScaled, left = cols - column;
        if (left <= 0) break;
        const RowScales<kNumber> rows(scales[ahead][group], p.w, g);
        scales[ahead][group] = lane_scales.load(column + kFurther);
        float sums[4] = {}, plain[4] = {};
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          auto& slot = weights[ahead][group * kTogether + i];
          const Load load = slot;
          slot = left > kFurther + i * F::kSpan
                     ? F::load(later +
                               (ahead * kProductWarps * kStretch + group * kScaled + i * F::kSpan) * F::kColumnBytes)
                     : Load{};
          uint32_t a[F::kProducts][4], b[F::kProducts][2] = {};
          F::expand(load, rows.zeros, a);
          if (rounds) round_to_bf16(a);
          if (has_token && left > i * F::kSpan) F::tokens(x + column + i * F::kSpan, b);
#pragma unroll
          for (int k = 0; k < F::kProducts; ++k) multiply_tiles<kNumber>(sums, a[k], b[k]);
          if constexpr (kMins) {
            // A matrix of ones sums up the tokens where the products are: at the lane's columns 2t and 2t + 1.
            const uint32_t ones[4] = {kOne, kOne, kOne, kOne};
#pragma unroll
            for (int k = 0; k < F::kProducts; ++k) multiply_tiles<kNumber>(plain, ones, b[k]);
          }
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) total[i] += rows.scale[i / 2] * sums[i] + rows.min[i / 2] * plain[i];
      }
    }

  __shared__ float parts[kProductWarps][kFew * 16];
#pragma unroll
  for (int i = 0; i < 4; ++i) parts[warp][(2 * t + i % 2) * 16 + 2 * g + i / 2] = total[i];
  __syncthreads();
  for (int i = threadIdx.x; i < p.rows * 16; i += kProductThreads) {
    float value = 0;
    for (int w = 0; w < kProductWarps; ++w) value += parts[w][i];
    put(p, i / 16, tile * 16 + i % 16, value);
  }
}

} // namespace tinychat::cuda
