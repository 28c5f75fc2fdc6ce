// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Y = W X for few tokens (small M). The kernel is bound by memory bandwidth, so it keeps weight loads in flight at all times:
// the warps of a block share a tile of 16 rows, each warp takes every kTeam-th chunk of columns, and the block synchronizes
// once a tile. As soon as a register's weights are used, it receives those of a later chunk, or of the block's next tile. A
// warp therefore has 1 KiB or more in flight.
//
// Weights do not depend on the previous kernel: a block prefetches its first tile to the L2 cache while that kernel still
// runs. Each block computes the norm of a single token by itself, which is cheaper than a separate kernel.
#pragma once

#include "cuda/elementwise/norm.cuh"
#include "cuda/gemm/gemm.cuh"

namespace tinychat::cuda {

constexpr int kSmallM = 8;    // tokens of a block
constexpr int kStretch = 128; // columns of a warp's chunk
// Bytes of its first tile that a block prefetches. On an H100 both 64 KiB and no prefetch were slower.
constexpr uint32_t kPrefetch = 1 << 14;

// Resident blocks of a multiprocessor: up to 24 warps.
__host__ __device__ constexpr int small_m_blocks(int threads) { return 24 * kWarp / threads; }

template <typename F, bool kSummed, typename = void>
struct RowsType {
  using type = None;
};
template <typename F>
struct RowsType<F, false> {
  using type = typename F::Rows;
};
template <typename F, bool kSummed>
using RowsOf = typename RowsType<F, kSummed>::type;

// Beyond the last column tokens read as zeros, so stale weights contribute nothing; results of missing tokens are not stored.
// kScaled: columns that are known to share their scales, at most kStretch. kTiles: tiles computed together, 2 for a gate and
// the tile that it gates (the paired tile). kNormed: the token is normed in shared memory first.
// Grid: (blocks that share the tiles, ceil(tokens / kSmallM)).
template <template <DType> class Format, DType kDType, int kScaled, int kTiles, bool kNormed, int kThreads>
__global__ void __launch_bounds__(kThreads, kDType != DType::kBf16 ? small_m_blocks(kThreads) : 1)
    gemm_small_m(Gemm p) {
  using F = Format<kDType>;
  constexpr int kLoads = kStretch / F::kSpan, kTogether = kScaled / F::kSpan, kGroups = kStretch / kScaled;
  constexpr int kTeam = kThreads / kWarp / kTiles; // warps that share a tile
  constexpr int kNext = kTeam * kStretch, kFurther = F::kAhead * kNext;
  // Scales multiply a group's sum instead of its weights, except in small floating-point groups: these would need too many.
  constexpr bool kLarge = kScaled >= 64 && !F::kBytes, kSummed = kLarge || F::kBytes;
  // Instances that need every register where compute_here() has an effect.
  constexpr bool kTight = kArch >= 1000 && kSummed && (kThreads > 256 || kScaled == 64);
  constexpr uint32_t kOne = 0x3c003c00u; // fp16, twice
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int tiles = (p.w.rows + 15) / 16 / kTiles; // or pairs of tiles
  const int cols = p.w.cols, paired_tile = warp / kTeam * tiles, begin = warp % kTeam * kStretch;
  const size_t bytes = static_cast<size_t>(cols) * F::kColumnBytes;

  const auto scales_of = [&](int tile) {
    if constexpr (kLarge) return LargeScales<F::kOffset, kScaled>(p.w, tile, begin, g);
    else return LaneScales<F::kOffset>(p.w, tile, g);
  };
  // The next weights to load; `left` columns of their tile remain.
  const uint8_t* next = p.w.weight + (blockIdx.x + paired_tile) * bytes + begin * F::kColumnBytes +
                        F::lane_offset(g, t);
  auto next_scales = scales_of(blockIdx.x + paired_tile);
  int left = cols - begin;
  typename F::Load weights[F::kAhead][kLoads] = {};
  StoredScales scales[F::kAhead][kGroups];
  const auto fetch = [&](typename F::Load& load, int offset) { // a constant offset is part of the load instruction
    if (left > offset) load = F::load_once(next + offset * F::kColumnBytes);
  };
  const auto fetch_scales = [&](StoredScales& stored, int offset) {
    if constexpr (!kLarge) stored = next_scales.load(cols - left + offset);
    else if (F::kOffset != Offset::kNone && left > offset) next_scales.load(offset, stored);
  };
  if (lane == 0 && begin == 0)
    prefetch(p.w.weight + (blockIdx.x + paired_tile) * bytes,
             bytes < kPrefetch ? static_cast<uint32_t>(bytes) : kPrefetch);
#pragma unroll
  for (int ahead = 0; ahead < F::kAhead; ++ahead) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) fetch(weights[ahead][i], ahead * kNext + i * F::kSpan);
#pragma unroll
    for (int i = 0; i < kGroups; ++i) fetch_scales(scales[ahead][i], ahead * kNext + i * kScaled);
  }
  pdl_wait();

  const int first_token = blockIdx.y * kSmallM,
            mine = first_token + g < p.num_tokens ? first_token + g : p.num_tokens - 1;
  const auto* x = static_cast<const typename F::Token*>(p.x) + static_cast<size_t>(mine) * cols;
  if constexpr (kNormed) {
    __shared__ uint16_t normed[kMaxFusedNorm];
    norm_row(p.normed, cols, kDType, normed);
    __syncthreads();
    x = normed;
  }
  x += begin + F::kColumns * t;
  const std::conditional_t<F::kBytes, TokenScales, None> token_scales(p);

  __shared__ float parts[2][kTiles][kTeam][kSmallM * 16]; // of this tile and the previous one
  for (int tile = blockIdx.x, turn = 0; tile < tiles; tile += gridDim.x, turn ^= 1) {
    float total[4] = {};
    for (int column = 0; column < cols; column += kFurther) {
      next += kFurther * F::kColumnBytes;
      left -= kFurther;
      if constexpr (kLarge) next_scales.advance(kFurther);
      if (column + kFurther >= cols) { // continue with the next tile, if there is one
        int following = tile + static_cast<int>(gridDim.x);
        compute_here(following);
        left = following < tiles ? cols - begin : 0;
        const int inside = following < tiles ? following : tile;
        next = p.w.weight + (inside + paired_tile) * bytes + begin * F::kColumnBytes + F::lane_offset(g, t);
        next_scales = scales_of(inside + paired_tile);
      }
#pragma unroll
      for (int ahead = 0; ahead < F::kAhead; ++ahead)
#pragma unroll
        for (int group = 0; group < kGroups; ++group) {
          const int offset = ahead * kNext + group * kScaled, still = cols - begin - column - offset;
          StoredScales stored = scales[ahead][group];
          if constexpr (kTight && kScaled == 64 && kArch == 1100) {
            compute_here(stored.scales);
            compute_here(stored.offsets);
          }
          fetch_scales(scales[ahead][group], offset);
          typename F::Sum sums[4] = {};
          float plain[4] = {};
          RowsOf<F, kSummed> rows;
          if constexpr (!kSummed) rows = RowsOf<F, kSummed>(stored, g);
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            if (kThreads > 256 || kTight || i % 2 == 0)
              __syncwarp(); // keeps the compiler from hoisting all token loads, which would spill registers
            auto& slot = weights[ahead][group * kTogether + i];
            typename F::Weights a[F::kMmas];
            typename F::Tokens b[F::kMmas] = {};
            if constexpr (kSummed) F::unscaled(slot, a);
            else F::weights(slot, rows, a);
            fetch(slot, offset + i * F::kSpan);
            if (still > i * F::kSpan) F::tokens(x + column + offset + i * F::kSpan, b);
            // A multiplication with ones sums up the tokens in the layout of the products: the lane's columns 2t and 2t + 1.
            if constexpr (kSummed && F::kPlain)
#pragma unroll
              for (int k = 0; k < F::kMmas; ++k) mma<kDType>(plain, {kOne, kOne, kOne, kOne}, b[k]);
            if constexpr (kSummed) F::match(b);
#pragma unroll
            for (int k = 0; k < F::kMmas; ++k) {
              if constexpr (kSummed) mma<kDType>(sums, a[k], b[k]);
              else mma<kDType>(total, a[k], b[k]);
            }
          }
          if constexpr (F::kBytes) {
            float of_tokens[2];
            token_scales.load(first_token + 2 * t, begin + column + offset, of_tokens);
            F::add_sums(sums, of_tokens, stored, total);
          } else if constexpr (kSummed) {
            int thread = threadIdx.x;
            if constexpr (kTight) compute_here(thread); // g is derived again, so no register holds it between groups
            F::add_sums(sums, plain, stored, kTight ? thread % kWarp / 4 : g, total);
          }
        }
    }
    auto& of_tile = parts[turn];
#pragma unroll
    for (int i = 0; i < 4; ++i) of_tile[warp / kTeam][warp % kTeam][(2 * t + i % 2) * 16 + 2 * g + i / 2] = total[i];
    __syncthreads();
    const int i = threadIdx.x, token = first_token + i / 16, row = tile * 16 + i % 16;
    if (i >= kSmallM * 16 || token >= p.num_tokens) continue;
    float added[kTiles] = {};
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int w = 0; w < kTeam; ++w) added[j] += of_tile[j][w][i];
    p.activated.out != nullptr ? put_activated(p, token, row, added[0], added[kTiles - 1])
                               : put(p, token, row, added[0]);
  }
}

} // namespace tinychat::cuda
