// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Y = W X for many tokens: each warp has two tiles of 16 rows, whose weights go to registers as ever, and all warps of a
// block read the same 64 tokens. These come to shared memory a stage of 64 columns (of bytes: 128) at a time, three stages
// ahead.
#pragma once

#include "cuda/gemm/gemm.cuh"

namespace tinychat::cuda {

constexpr int kManyThreads = 128, kManyWarps = kManyThreads / kWarp;
constexpr int kMany = 64;               // tokens of a block
constexpr int kStage = 64, kStages = 4; // columns of 16 bits
constexpr int kEights = kMany / 8, kChunkBytes = 16, kChunks = 2 * kStage / kChunkBytes;

// A stage of tokens: [token][chunk], chunks exchanged so that lanes that read together read from all banks, whether they
// take whole chunks or halves.
struct TokenStage {
  uint4 chunks[kMany * kChunks];

  __device__ static int at(int token, int chunk) {
    return token * kChunks + (chunk ^ ((token & 1) << 2 | (token & 2)));
  }

  // The thread's part: every kManyThreads / kChunks-th token, of which `tokens` are there, from its first one's chunk on.
  __device__ void fetch(const uint8_t* from, size_t row_bytes, int tokens, bool columns) {
    constexpr int kStep = kManyThreads / kChunks;
    const int token = threadIdx.x / kChunks;
#pragma unroll
    for (int i = 0; i < kMany; i += kStep) {
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

// Blocks of rows: of a gated pair each takes a tile of the gate, and the one beside it.
inline int many_blocks(const Product& p) {
  const int pairs = p.activated.gated ? p.w.tiles() / 2 : (p.w.tiles() + 1) / 2;
  return (pairs + kManyWarps - 1) / kManyWarps;
}

// kScaled: columns that surely share their scales, at most a stage. Grid: (blocks of tokens, many_blocks()): blocks that run
// together share weights, which then come from memory once.
template <template <Number> class Format, Number kNumber, int kScaled>
__global__ void __launch_bounds__(kManyThreads, 2) multiply_many(Product p) {
  using F = Format<kNumber>;
  using Token = typename F::Token;
  constexpr int kColumns = kStage * 2 / sizeof(Token), kOfChunk = kChunkBytes / sizeof(Token); // of a stage, of a chunk
  constexpr int kLoads = kColumns / F::kSpan, kTogether = kScaled / F::kSpan;
  __shared__ TokenStage stages[kStages];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int cols = p.w.cols, first_token = blockIdx.x * kMany, last_tile = (p.w.rows - 1) / 16;
  const int pair_of_tiles = blockIdx.y * kManyWarps + warp, half = p.activated.gated ? p.w.rows / 32 : 0;
  const int tiles[2] = {half > 0 ? pair_of_tiles : 2 * pair_of_tiles,
                        half > 0 ? pair_of_tiles + half : 2 * pair_of_tiles + 1};

  const int inside[2] = {tiles[0] < last_tile ? tiles[0] : last_tile, tiles[1] < last_tile ? tiles[1] : last_tile};
  const LaneScales<F::kOffset> lane_scales[2] = {{p.w, inside[0], g}, {p.w, inside[1], g}};
  const auto first_of = [&](int j) { // warps beyond the last tile read it, too, and throw it away
    return p.w.weight + static_cast<size_t>(inside[j]) * cols * F::kColumnBytes + F::place(g, t);
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
  await_previous(); // only weights do not depend on the kernel before

  const int first = first_token + threadIdx.x / kChunks, chunk = threadIdx.x % kChunks * kOfChunk;
  const Token* from = static_cast<const Token*>(p.x) + (first < p.rows ? static_cast<size_t>(first) * cols : 0) +
                      (chunk < cols ? chunk : 0);
  const auto fetch_tokens = [&](int stage) {
    const bool columns = stage * kColumns + chunk < cols;
    stages[stage % kStages].fetch(reinterpret_cast<const uint8_t*>(columns ? from + stage * kColumns : from),
                                  cols * sizeof(Token), p.rows - first_token, columns);
    commit_copies();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) fetch_tokens(i);

  const std::conditional_t<F::kBytes, TokenScales, None> token_scales(p);
  float total[2][kEights][4] = {};
  for (int stage = 0; stage * kColumns < cols; ++stage) {
    await_copies<kStages - 2>();
    __syncthreads(); // this stage is there for all, and the one before is used by nobody any more
    fetch_tokens(stage + kStages - 1);
    const TokenStage& x = stages[stage % kStages];
    weights[0] += kColumns * F::kColumnBytes;
    weights[1] += kColumns * F::kColumnBytes;
    const auto tokens_of = [&](int eight, int i) {
      return x.template numbers<Token>(8 * eight + g, i * F::kSpan + F::kColumns * t);
    };
    if constexpr (F::kBytes) { // sums of a group are integers, and scaled
#pragma unroll
      for (int group = 0; group < kLoads; group += kTogether) {
        typename F::Weights a[kTogether][2][1];
        StoredScales of_rows[2];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          of_rows[j] = scales[j][group];
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            F::numbers(next[j][group + i], a[i][j]);
            fetch(j, group + i, cols - (stage + 1) * kColumns);
          }
        }
#pragma unroll
        for (int eight = 0; eight < kEights; ++eight) {
          __syncwarp(); // or the compiler loads all scales at once, and has no registers for them
          int32_t sums[2][4] = {};
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            typename F::Tokens b[1];
            F::tokens(tokens_of(eight, group + i), b);
#pragma unroll
            for (int j = 0; j < 2; ++j) multiply_tiles<kNumber>(sums[j], a[i][j][0], b[0]);
          }
          float of_tokens[2];
          token_scales.load(first_token + 8 * eight + 2 * t, stage * kColumns + group * F::kSpan, of_tokens);
#pragma unroll
          for (int j = 0; j < 2; ++j) F::add_sums(sums[j], of_tokens, of_rows[j], total[j][eight]);
        }
      }
    } else {
      typename F::Rows rows[2];
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        uint32_t a[2][F::kProducts][4];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          if (i % kTogether == 0) rows[j] = typename F::Rows(scales[j][i], g);
          F::weights(next[j][i], rows[j], a[j]);
          fetch(j, i, cols - (stage + 1) * kColumns);
        }
#pragma unroll
        for (int eight = 0; eight < kEights; ++eight) {
          uint32_t b[F::kProducts][2];
          F::tokens(tokens_of(eight, i), b);
#pragma unroll
          for (int j = 0; j < 2; ++j)
#pragma unroll
            for (int k = 0; k < F::kProducts; ++k) multiply_tiles<kNumber>(total[j][eight], a[j][k], b[k]);
        }
      }
    }
  }
  await_copies<0>();

#pragma unroll
  for (int eight = 0; eight < kEights; ++eight)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int token = first_token + 8 * eight + 2 * t + i % 2, row = 2 * g + i / 2;
      const float sums[2] = {total[0][eight][i], total[1][eight][i]};
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
