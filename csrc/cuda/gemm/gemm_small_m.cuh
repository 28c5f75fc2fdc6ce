// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// y = W x for a few tokens: all that counts is that weights never stop to come. The warps of a block share a tile, each takes
// its stretches of columns in turn, and nothing is synchronized before the last one. A register whose weights are used is
// given to those of a later stretch at once, of the block's next tile where this one ends: so a warp has 1 KiB or more on
// their way at any time.
//
// Weights do not depend on the kernel before: a block asks for its first tile while that one still runs, and finds it in the
// L2 cache. One token's norm is made by every block for itself, which is cheaper than a kernel that all would wait for.
#pragma once

#include "cuda/elementwise/norm.cuh"
#include "cuda/gemm/gemm.cuh"

namespace tinychat::cuda {

constexpr int kFew = 8;       // tokens of a block
constexpr int kStretch = 128; // columns that a warp takes at a time
// Bytes of its first tile that a block asks for at once; on an H100 four times as many were slower, and none, too.
constexpr uint32_t kPrefetch = 1 << 14;

// Blocks of a multiprocessor: up to 24 warps.
__host__ __device__ constexpr int few_blocks(int threads) { return 24 * kWarp / threads; }

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

// Where columns end, tokens are read as zeros and weights as whatever was there: no product is left out, none counts. Nor does
// what comes of a token that is not there. kScaled: columns that surely share their scales, at most a stretch. kTiles: taken
// together, 2 for a gate and what it gates. kNormed: the token is a norm's, in shared memory.
// Grid: (blocks that share the tiles, eights of tokens).
template <template <Number> class Format, Number kNumber, int kScaled, int kTiles, bool kNormed, int kThreads>
__global__ void __launch_bounds__(kThreads, kNumber != Number::kBf16 ? few_blocks(kThreads) : 1)
    multiply_few(Product p) {
  using F = Format<kNumber>;
  constexpr int kLoads = kStretch / F::kSpan, kTogether = kScaled / F::kSpan, kGroups = kStretch / kScaled;
  constexpr int kTeam = kThreads / kWarp / kTiles; // warps of a tile
  constexpr int kNext = kTeam * kStretch, kFurther = F::kAhead * kNext;
  // A group's sums are scaled; those of small groups would be too many, where they need not be integers.
  constexpr bool kLarge = kScaled >= 64 && !F::kBytes, kSummed = kLarge || F::kBytes;
  constexpr uint32_t kOne = 0x3c003c00u; // fp16, twice
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int tiles = (p.w.rows + 15) / 16 / kTiles; // taken together
  const int cols = p.w.cols, beside = warp / kTeam * tiles, begin = warp % kTeam * kStretch;
  const size_t bytes = static_cast<size_t>(cols) * F::kColumnBytes;

  const auto scales_of = [&](int tile) {
    if constexpr (kLarge) return LargeScales<F::kOffset, kScaled>(p.w, tile, begin, g);
    else return LaneScales<F::kOffset>(p.w, tile, g);
  };
  // The weights that are asked for next: `left` columns of their tile are still there.
  const uint8_t* next = p.w.weight + (blockIdx.x + beside) * bytes + begin * F::kColumnBytes + F::place(g, t);
  auto next_scales = scales_of(blockIdx.x + beside);
  int left = cols - begin;
  typename F::Load weights[F::kAhead][kLoads] = {};
  StoredScales scales[F::kAhead][kGroups];
  const auto fetch = [&](typename F::Load& load, int offset) { // constant offsets stand in the loads themselves
    if (left > offset) load = F::load_once(next + offset * F::kColumnBytes);
  };
  const auto fetch_scales = [&](StoredScales& stored, int offset) {
    if constexpr (!kLarge) stored = next_scales.load(cols - left + offset);
    else if (F::kOffset != Offset::kNone && left > offset) next_scales.load(offset, stored);
  };
  if (lane == 0 && begin == 0)
    prefetch(p.w.weight + (blockIdx.x + beside) * bytes, bytes < kPrefetch ? static_cast<uint32_t>(bytes) : kPrefetch);
#pragma unroll
  for (int ahead = 0; ahead < F::kAhead; ++ahead) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) fetch(weights[ahead][i], ahead * kNext + i * F::kSpan);
#pragma unroll
    for (int i = 0; i < kGroups; ++i) fetch_scales(scales[ahead][i], ahead * kNext + i * kScaled);
  }
  await_previous();

  const int first_token = blockIdx.y * kFew, mine = first_token + g < p.rows ? first_token + g : p.rows - 1;
  const auto* x = static_cast<const typename F::Token*>(p.x) + static_cast<size_t>(mine) * cols;
  if constexpr (kNormed) {
    __shared__ uint16_t normed[kMostNormed];
    norm_row(p.normed, cols, kNumber, normed);
    __syncthreads();
    x = normed;
  }
  x += begin + F::kColumns * t;
  const std::conditional_t<F::kBytes, TokenScales, None> token_scales(p);

  __shared__ float parts[2][kTiles][kTeam][kFew * 16]; // of this tile and the one before
  for (int tile = blockIdx.x, turn = 0; tile < tiles; tile += gridDim.x, turn ^= 1) {
    float total[4] = {};
    for (int column = 0; column < cols; column += kFurther) {
      next += kFurther * F::kColumnBytes;
      left -= kFurther;
      if constexpr (kLarge) next_scales.advance(kFurther);
      if (column + kFurther >= cols) { // the next tile's, or nothing
        const int following = tile + static_cast<int>(gridDim.x);
        left = following < tiles ? cols - begin : 0;
        const int inside = following < tiles ? following : tile;
        next = p.w.weight + (inside + beside) * bytes + begin * F::kColumnBytes + F::place(g, t);
        next_scales = scales_of(inside + beside);
      }
#pragma unroll
      for (int ahead = 0; ahead < F::kAhead; ++ahead)
#pragma unroll
        for (int group = 0; group < kGroups; ++group) {
          const int offset = ahead * kNext + group * kScaled, still = cols - begin - column - offset;
          const StoredScales stored = scales[ahead][group];
          fetch_scales(scales[ahead][group], offset);
          typename F::Sum sums[4] = {};
          float plain[4] = {};
          RowsOf<F, kSummed> rows;
          if constexpr (!kSummed) rows = RowsOf<F, kSummed>(stored, g);
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            if (kThreads > 256 || i % 2 == 0)
              __syncwarp(); // or the compiler loads all tokens at once, and has no registers for them
            auto& slot = weights[ahead][group * kTogether + i];
            typename F::Weights a[F::kProducts];
            typename F::Tokens b[F::kProducts] = {};
            if constexpr (kSummed) F::numbers(slot, a);
            else F::weights(slot, rows, a);
            fetch(slot, offset + i * F::kSpan);
            if (still > i * F::kSpan) F::tokens(x + column + offset + i * F::kSpan, b);
            // A matrix of ones sums up the tokens where the products are: at the lane's columns 2t and 2t + 1.
            if constexpr (kSummed && F::kPlain)
#pragma unroll
              for (int k = 0; k < F::kProducts; ++k) multiply_tiles<kNumber>(plain, {kOne, kOne, kOne, kOne}, b[k]);
            if constexpr (kSummed) F::match(b);
#pragma unroll
            for (int k = 0; k < F::kProducts; ++k) {
              if constexpr (kSummed) multiply_tiles<kNumber>(sums, a[k], b[k]);
              else multiply_tiles<kNumber>(total, a[k], b[k]);
            }
          }
          if constexpr (F::kBytes) {
            float of_tokens[2];
            token_scales.load(first_token + 2 * t, begin + column + offset, of_tokens);
            F::add_sums(sums, of_tokens, stored, total);
          } else if constexpr (kSummed) {
            F::add_sums(sums, plain, stored, g, total);
          }
        }
    }
    auto& of_tile = parts[turn];
#pragma unroll
    for (int i = 0; i < 4; ++i) of_tile[warp / kTeam][warp % kTeam][(2 * t + i % 2) * 16 + 2 * g + i / 2] = total[i];
    __syncthreads();
    const int i = threadIdx.x, token = first_token + i / 16, row = tile * 16 + i % 16;
    if (i >= kFew * 16 || token >= p.rows) continue;
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
