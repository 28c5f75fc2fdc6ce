// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// y = W x for a few tokens: all that counts is that weights never stop to come. The warps of a block share a tile, each takes
// its stretches of columns in turn, and nothing is synchronized before the last one. A register whose weights are used is
// given to those of a later stretch at once, so a warp has 1 KiB or more on their way at any time.
//
// Weights do not depend on the kernel before: a block asks for its whole tile while that one still runs, and finds it in the
// L2 cache.
#pragma once

#include "cuda/product.cuh"

namespace tinychat::cuda {

constexpr int kFewThreads = 256, kFewWarps = kFewThreads / kWarp;
constexpr int kFew = 8;                 // tokens of a block
constexpr int kStretch = 128;           // columns that a warp takes at a time
constexpr uint32_t kPrefetch = 1 << 16; // bytes of a tile that a block asks for at once: all blocks' fill half of an L2

// Where columns end, weights are read as zero points and tokens as zeros: no product is left out, none counts.
// kScaled: columns that surely share their scales, at most a stretch. kTiles: of a block, 2 for a gate and what it gates.
// Grid: (tiles / kTiles, eights of tokens).
template <template <Number> class Format, Number kNumber, int kScaled, int kTiles>
__global__ void __launch_bounds__(kFewThreads, kNumber == Number::kHalf ? 3 : 2) multiply_few(Product p) {
  using F = Format<kNumber>;
  constexpr int kLoads = kStretch / F::kSpan, kTogether = kScaled / F::kSpan, kGroups = kStretch / kScaled;
  constexpr int kTeam = kFewWarps / kTiles; // warps of a tile
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int cols = p.w.cols, tile = blockIdx.x + (warp / kTeam) * gridDim.x, begin = warp % kTeam * kStretch;
  const size_t bytes = static_cast<size_t>(cols) * F::kColumnBytes;
  const uint8_t* weight = p.w.weight + tile * bytes + F::place(g, t);
  const LaneScales<F::kOffset> lane_scales(p.w, tile, g);
  if (lane == 0 && begin == 0)
    prefetch(p.w.weight + tile * bytes, bytes < kPrefetch ? static_cast<uint32_t>(bytes) : kPrefetch);

  using Load = typename F::Load;
  Load weights[F::kAhead][kLoads];
  StoredScales scales[F::kAhead][kGroups];
  weight += begin * F::kColumnBytes;
  // Offsets are constants, so that they stand in the loads themselves: `offset` columns behind the warp's place, of which
  // `left` are still columns of the matrix.
  const auto fetch = [&](Load& load, int offset, int left) {
    load = left > offset ? F::load(weight + offset * F::kColumnBytes) : Load{};
  };
  constexpr int kNext = kTeam * kStretch, kFurther = F::kAhead * kNext;
  int left = cols - begin;
#pragma unroll
  for (int ahead = 0; ahead < F::kAhead; ++ahead) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) fetch(weights[ahead][i], ahead * kNext + i * F::kSpan, left);
#pragma unroll
    for (int i = 0; i < kGroups; ++i) scales[ahead][i] = lane_scales.load(begin + ahead * kNext + i * kScaled);
  }
  await_previous();

  const int first_token = blockIdx.y * kFew;
  const uint16_t* x = p.x + static_cast<size_t>(first_token + g) * cols + begin + F::kColumns * t;
  const bool has_token = first_token + g < p.rows;
  float total[4] = {};
  for (; left > 0; left -= kFurther, x += kFurther) {
    weight += kFurther * F::kColumnBytes;
#pragma unroll
    for (int ahead = 0; ahead < F::kAhead; ++ahead)
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const int offset = ahead * kNext + group * kScaled;
        const typename F::Rows rows(scales[ahead][group], g);
        scales[ahead][group] = lane_scales.load(cols - left + offset + kFurther);
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          Load& slot = weights[ahead][group * kTogether + i];
          uint32_t a[F::kProducts][4], b[F::kProducts][2] = {};
          F::expand(slot, rows, a);
          fetch(slot, offset + i * F::kSpan, left - kFurther);
          if (has_token && left > offset + i * F::kSpan) F::tokens(x + offset + i * F::kSpan, b);
#pragma unroll
          for (int k = 0; k < F::kProducts; ++k) multiply_tiles<kNumber>(total, a[k], b[k]);
        }
      }
  }

  __shared__ float parts[kTiles][kTeam][kFew * 16];
#pragma unroll
  for (int i = 0; i < 4; ++i) parts[warp / kTeam][warp % kTeam][(2 * t + i % 2) * 16 + 2 * g + i / 2] = total[i];
  __syncthreads();
  const int i = threadIdx.x, token = first_token + i / 16, row = blockIdx.x * 16 + i % 16;
  if (i >= kFew * 16) return;
  float sums[kTiles] = {};
#pragma unroll
  for (int j = 0; j < kTiles; ++j)
    for (int w = 0; w < kTeam; ++w) sums[j] += parts[j][w][i];
  p.activated.out != nullptr ? put_activated(p, token, row, sums[0], sums[kTiles - 1]) : put(p, token, row, sums[0]);
}

} // namespace tinychat::cuda
