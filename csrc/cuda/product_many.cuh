// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Y = W X for many tokens: each warp has kTiles tiles of 16 rows, whose weights go to registers as ever, and all warps of a
// block read the same 64 tokens. These come to shared memory a stage of 64 columns at a time, three stages ahead.
#pragma once

#include "cuda/product_scales.cuh"

namespace tinychat::cuda {

constexpr int kMany = 64; // tokens of a block
constexpr int kStage = 64, kStages = 4;
constexpr int kEights = kMany / 8, kChunks = kStage / 8; // a chunk: 8 columns of a token, 16 bytes
static_assert(kEights == kProductWarps, "each warp sums up eight tokens");

// A stage of tokens: [token][chunk], chunks exchanged so that lanes that read together read from all banks, whether they
// take whole chunks or halves.
struct TokenStage {
  uint4 chunks[kMany * kChunks];

  __device__ static int at(int token, int chunk) {
    return token * kChunks + (chunk ^ ((token & 1) << 2 | (token & 2)));
  }

  __device__ void fetch(const Product& p, int first_token, int first_column) {
#pragma unroll
    for (int i = threadIdx.x; i < kMany * kChunks; i += kProductThreads) {
      const int token = first_token + i / kChunks, column = first_column + i % kChunks * 8;
      const bool there = token < p.rows && column < p.w.cols;
      const uint16_t* from = p.x + (there ? static_cast<size_t>(token) * p.w.cols + column : 0);
      begin_copy(&chunks[at(i / kChunks, i % kChunks)], from, !there);
    }
  }
  // `column` of the stage
  __device__ const uint16_t* numbers(int token, int column) const {
    return reinterpret_cast<const uint16_t*>(&chunks[at(token, column / 8)]) + column % 8;
  }
};

// kScaled: columns that surely share their scales, at most a stage.
// Grid: (blocks of kProductWarps * kTiles tiles, blocks of tokens).
template <template <Number> class Format, Number kNumber, int kTiles, int kScaled>
__global__ void __launch_bounds__(kProductThreads) multiply_many(Product p) {
  using F = Format<kNumber>;
  constexpr int kLoads = kStage / F::kSpan, kTogether = kScaled / F::kSpan, kGroups = kStage / kScaled;
  constexpr uint32_t kOne = kNumber == Number::kHalf ? 0x3c003c00u : 0x3f803f80u;
  __shared__ TokenStage stages[kStages];
  __shared__ float plain[kGroups][kMany]; // the tokens' sums over a group
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int cols = p.w.cols, first_token = blockIdx.y * kMany;
  const int first_tile = (blockIdx.x * kProductWarps + warp) * kTiles, last_tile = (p.w.rows - 1) / 16;
  const bool rounds = kNumber == Number::kBf16 && p.w.format == WeightFormat::kF16;

  using Load = typename F::Load;
  Load next[kTiles][kLoads];
  const auto fetch = [&](int column) {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      // Warps beyond the last tile read it, too, and throw it away.
      const int tile = first_tile + j < last_tile ? first_tile + j : last_tile;
      const uint8_t* weight = p.w.weight + (static_cast<size_t>(tile) * cols + column) * F::kColumnBytes +
                              F::place(g, t);
#pragma unroll
      for (int i = 0; i < kLoads; ++i)
        next[j][i] = column + i * F::kSpan < cols ? F::load(weight + i * F::kSpan * F::kColumnBytes) : Load{};
    }
  };
  fetch(0);
  await_previous(); // only weights do not depend on the kernel before
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    stages[i].fetch(p, first_token, i * kStage);
    commit_copies();
  }

  float total[kTiles][kEights][4] = {};
  for (int stage = 0; stage * kStage < cols; ++stage) {
    await_copies<kStages - 2>();
    __syncthreads(); // this stage is there for all, and the one before is used by nobody any more
    stages[(stage + kStages - 1) % kStages].fetch(p, first_token, (stage + kStages - 1) * kStage);
    commit_copies();
    const TokenStage& x = stages[stage % kStages];
    Load now[kTiles][kLoads];
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int i = 0; i < kLoads; ++i) now[j][i] = next[j][i];
    fetch((stage + 1) * kStage);

    if (p.w.mins != nullptr) {
      // A matrix of ones sums up the tokens; each warp does it for eight of them.
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        float sums[4] = {};
        const uint32_t ones[4] = {kOne, kOne, kOne, kOne};
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          uint32_t b[F::kProducts][2];
          F::tokens(x.numbers(8 * warp + g, (group * kTogether + i) * F::kSpan + F::kColumns * t), b);
#pragma unroll
          for (int k = 0; k < F::kProducts; ++k) multiply_tiles<kNumber>(sums, ones, b[k]);
        }
        if (g == 0) {
          plain[group][8 * warp + 2 * t] = sums[0];
          plain[group][8 * warp + 2 * t + 1] = sums[1];
        }
      }
      __syncthreads();
    }

#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const int column = stage * kStage + group * kScaled;
      if (column >= cols) break;
      StoredScales stored[kTiles];
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const int tile = first_tile + j < last_tile ? first_tile + j : last_tile;
        stored[j] = LaneScales(p.w, tile, g).load(column);
      }
      uint32_t a[kTiles][kTogether][F::kProducts][4];
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const RowScales<kNumber> rows(stored[j], p.w, g);
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          F::expand(now[j][group * kTogether + i], rows.zeros, a[j][i]);
          if (rounds) round_to_bf16(a[j][i]);
        }
      }
#pragma unroll
      for (int eight = 0; eight < kEights; ++eight) {
        float sums[kTiles][4] = {};
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          uint32_t b[F::kProducts][2];
          F::tokens(x.numbers(8 * eight + g, (group * kTogether + i) * F::kSpan + F::kColumns * t), b);
#pragma unroll
          for (int j = 0; j < kTiles; ++j)
#pragma unroll
            for (int k = 0; k < F::kProducts; ++k) multiply_tiles<kNumber>(sums[j], a[j][i][k], b[k]);
        }
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
          const RowScales<kNumber> rows(stored[j], p.w, g);
#pragma unroll
          for (int i = 0; i < 4; ++i) total[j][eight][i] += rows.scale[i / 2] * sums[j][i];
          if (p.w.mins == nullptr) continue;
#pragma unroll
          for (int i = 0; i < 4; ++i) total[j][eight][i] += rows.min[i / 2] * plain[group][8 * eight + 2 * t + i % 2];
        }
      }
    }
  }
  await_copies<0>();

#pragma unroll
  for (int j = 0; j < kTiles; ++j)
#pragma unroll
    for (int eight = 0; eight < kEights; ++eight)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        put(p, first_token + 8 * eight + 2 * t + i % 2, (first_tile + j) * 16 + 2 * g + i / 2, total[j][eight][i]);
}

} // namespace tinychat::cuda
