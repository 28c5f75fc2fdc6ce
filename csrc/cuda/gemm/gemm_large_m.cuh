// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Y = W X for many tokens (large M): each warp computes two tiles of 16 rows, whose weights it loads into registers, and all
// warps of a block multiply the same 64 tokens. These are copied to shared memory in stages of 64 columns (int8: 128), three
// stages ahead.
#pragma once

#include "cuda/gemm/gemm.cuh"

namespace tinychat::cuda {

constexpr int kLargeMThreads = 128, kLargeMWarps = kLargeMThreads / kWarp;
constexpr int kLargeM = 64;             // tokens of a block
constexpr int kStage = 64, kStages = 4; // columns of 16 bits
constexpr int kTokenTiles = kLargeM / 8, kChunkBytes = 16, kChunks = 2 * kStage / kChunkBytes;

// A stage of tokens: [token][chunk], the chunks swizzled so that reads of whole chunks and of halves are free of bank
// conflicts.
struct TokenStage {
  uint4 chunks[kLargeM * kChunks];

  __device__ static int at(int token, int chunk) {
    return token * kChunks + (chunk ^ ((token & 1) << 2 | (token & 2)));
  }

  // Copies the thread's part: every kLargeMThreads / kChunks-th token, zeros beyond the last of `tokens`.
  __device__ void fetch(const uint8_t* from, size_t row_bytes, int tokens, bool columns) {
    constexpr int kStep = kLargeMThreads / kChunks;
    const int token = threadIdx.x / kChunks;
#pragma unroll
    for (int i = 0; i < kLargeM; i += kStep) {
      const bool there = columns && token + i < tokens;
      begin_copy(&chunks[at(token, threadIdx.x % kChunks) + i * kChunks], there ? from + i * row_bytes : from, !there);
    }
  }
  // `column` of the stage
  template <typename Token>
  __device__ const Token* numbers(int token, int column) const {
    constexpr int kOfChunk = kChunkBytes / sizeof(Token);
    return reinterpret_cast<const Token*>(&chunks[at(token, column / kOfChunk)]) + column % kOfChunk;
  }
};

// Blocks of weight rows. In a gated pair of matrices each warp takes a tile of the gate and the paired tile.
inline int large_m_blocks(const Gemm& p) {
  const int pairs = p.activated.gated ? p.w.tiles() / 2 : (p.w.tiles() + 1) / 2;
  return (pairs + kLargeMWarps - 1) / kLargeMWarps;
}

// kScaled: columns that are known to share their scales, at most a stage. Grid: (blocks of tokens, large_m_blocks()), so that
// blocks that run at the same time share weights and read them from memory once.
template <template <DType> class Format, DType kDType, int kScaled>
__global__ void __launch_bounds__(kLargeMThreads, 2) gemm_large_m(Gemm p) {
  using F = Format<kDType>;
  using Token = typename F::Token;
  constexpr int kColumns = kStage * 2 / sizeof(Token), kOfChunk = kChunkBytes / sizeof(Token); // of a stage, of a chunk
  constexpr int kLoads = kColumns / F::kSpan, kTogether = kScaled / F::kSpan;
  __shared__ TokenStage stages[kStages];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int cols = p.w.cols, first_token = blockIdx.x * kLargeM, last_tile = (p.w.rows - 1) / 16;
  const int pair_of_tiles = blockIdx.y * kLargeMWarps + warp, half = p.activated.gated ? p.w.rows / 32 : 0;
  const int tiles[2] = {half > 0 ? pair_of_tiles : 2 * pair_of_tiles,
                        half > 0 ? pair_of_tiles + half : 2 * pair_of_tiles + 1};

  const int inside[2] = {tiles[0] < last_tile ? tiles[0] : last_tile, tiles[1] < last_tile ? tiles[1] : last_tile};
  const LaneScales<F::kOffset> lane_scales[2] = {{p.w, inside[0], g}, {p.w, inside[1], g}};
  const auto first_of = [&](int j) { // warps beyond the last tile read it as well, and store nothing
    return p.w.weight + static_cast<size_t>(inside[j]) * cols * F::kColumnBytes + F::lane_offset(g, t);
  };
  const uint8_t* weights[2] = {first_of(0), first_of(1)}; // of the next stage
  typename F::Load next[2][kLoads];
  StoredScales scales[2][kLoads];
  const auto fetch = [&](int j, int i, int left) {
    next[j][i] = left > i * F::kSpan ? F::load(weights[j] + i * F::kSpan * F::kColumnBytes) : typename F::Load{};
    if (i % kTogether == 0) scales[j][i] = lane_scales[j].load(cols - left + i * F::kSpan);
  };
#pragma unroll
  for (int j = 0; j < 2; ++j)
#pragma unroll
    for (int i = 0; i < kLoads; ++i) fetch(j, i, cols);
  pdl_wait(); // only weights do not depend on the previous kernel

  const int first = first_token + threadIdx.x / kChunks, chunk = threadIdx.x % kChunks * kOfChunk;
  const Token* from = static_cast<const Token*>(p.x) + (first < p.num_tokens ? static_cast<size_t>(first) * cols : 0) +
                      (chunk < cols ? chunk : 0);
  const auto fetch_tokens = [&](int stage) {
    const bool columns = stage * kColumns + chunk < cols;
    stages[stage % kStages].fetch(reinterpret_cast<const uint8_t*>(columns ? from + stage * kColumns : from),
                                  cols * sizeof(Token), p.num_tokens - first_token, columns);
    commit_copies();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) fetch_tokens(i);

  const std::conditional_t<F::kBytes, TokenScales, None> token_scales(p);
  float total[2][kTokenTiles][4] = {};
  for (int stage = 0; stage * kColumns < cols; ++stage) {
    await_copies<kStages - 2>();
    __syncthreads(); // this stage has landed, and nobody reads the previous one any more
    fetch_tokens(stage + kStages - 1);
    const TokenStage& x = stages[stage % kStages];
    weights[0] += kColumns * F::kColumnBytes;
    weights[1] += kColumns * F::kColumnBytes;
    const auto tokens_of = [&](int token_tile, int i) {
      return x.template numbers<Token>(8 * token_tile + g, i * F::kSpan + F::kColumns * t);
    };
    if constexpr (F::kBytes) { // integer sums of a group, scaled afterwards
#pragma unroll
      for (int group = 0; group < kLoads; group += kTogether) {
        typename F::Weights a[kTogether][2][1];
        StoredScales of_rows[2];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          of_rows[j] = scales[j][group];
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            F::unscaled(next[j][group + i], a[i][j]);
            fetch(j, group + i, cols - (stage + 1) * kColumns);
          }
        }
#pragma unroll
        for (int token_tile = 0; token_tile < kTokenTiles; ++token_tile) {
          __syncwarp(); // keeps the compiler from hoisting all scale loads, which would spill registers
          int32_t sums[2][4] = {};
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            typename F::Tokens b[1];
            F::tokens(tokens_of(token_tile, group + i), b);
#pragma unroll
            for (int j = 0; j < 2; ++j) mma<kDType>(sums[j], a[i][j][0], b[0]);
          }
          int first_of_block = first_token;
          compute_here(first_of_block); // keeps the addresses of all token tiles' scales out of registers
          float of_tokens[2];
          token_scales.load(first_of_block + 8 * token_tile + 2 * t, stage * kColumns + group * F::kSpan, of_tokens);
#pragma unroll
          for (int j = 0; j < 2; ++j) F::add_sums(sums[j], of_tokens, of_rows[j], total[j][token_tile]);
        }
      }
    } else {
      typename F::Rows rows[2];
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        uint32_t a[2][F::kMmas][4];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          if (i % kTogether == 0) rows[j] = typename F::Rows(scales[j][i], g);
          F::weights(next[j][i], rows[j], a[j]);
          fetch(j, i, cols - (stage + 1) * kColumns);
        }
#pragma unroll
        for (int token_tile = 0; token_tile < kTokenTiles; ++token_tile) {
          uint32_t b[F::kMmas][2];
          F::tokens(tokens_of(token_tile, i), b);
#pragma unroll
          for (int j = 0; j < 2; ++j)
#pragma unroll
            for (int k = 0; k < F::kMmas; ++k) mma<kDType>(total[j][token_tile], a[j][k], b[k]);
        }
      }
    }
  }
  await_copies<0>();

#pragma unroll
  for (int token_tile = 0; token_tile < kTokenTiles; ++token_tile)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int token = first_token + 8 * token_tile + 2 * t + i % 2, row = 2 * g + i / 2;
      const float sums[2] = {total[0][token_tile][i], total[1][token_tile][i]};
      if (half > 0) {
        put_activated(p, token, tiles[0] * 16 + row, sums[0], sums[1]);
        continue;
      }
#pragma unroll
      for (int j = 0; j < 2; ++j)
        p.activated.out != nullptr ? put_activated(p, token, tiles[j] * 16 + row, sums[j], 0)
                                   : put(p, token, tiles[j] * 16 + row, sums[j]);
    }
}

} // namespace tinychat::cuda
