// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of many tokens: first every key and value goes to the cache, then blocks of queries go over it tile by tile
// with a running softmax (FlashAttention-2, Dao, 2023): queries, keys, weights and values are fp16, all sums are float.
#pragma once

#include "cuda/attention/attention.h"
#include "cuda/attention/kv_layout.cuh"
#include "cuda/attention/rotary.cuh"
#include "cuda/primitives/pair.cuh"
#include "cuda/primitives/pdl.cuh"
#include "cuda/primitives/ptx.h"

namespace tinychat::cuda {

constexpr int kStoreWarps = 4;

// Rotates the queries where they are, and writes keys and values. Grid: (rows, ceil((heads + kv_heads) / kStoreWarps)).
template <typename Row>
__global__ void __launch_bounds__(kStoreWarps* kWarp) rotate_and_store(Attention a) {
  await_previous();
  __shared__ float keys[kStoreWarps][kMaxHeadDim];
  const int warp = threadIdx.x / kWarp, row = blockIdx.x, dim = a.cache.head_dim;
  const int head = blockIdx.y * kStoreWarps + warp;
  if (head >= a.heads + a.cache.kv_heads) return;
  float* x = a.qkv + static_cast<size_t>(row) * a.width() + head * dim;
  const float* cosines = a.cosines + static_cast<size_t>(row) * a.half;
  const float* sines = a.sines + static_cast<size_t>(row) * a.half;
  if (head < a.heads) {
    prepare_head(x, a.q_norm, a.norm_eps, cosines, sines, a.half, dim, a.scale, x);
    return;
  }
  prepare_head(x, a.k_norm, a.norm_eps, cosines, sines, a.half, dim, 1.0f, keys[warp]);
  __syncwarp();
  const CacheHead cache(a.cache, a.step->cache, a.layer, head - a.heads);
  const size_t at = a.step->position + row;
  store_row<Row>(keys[warp], dim, kKeyGroup, cache.keys + at * a.cache.row(), cache.key_scales + at * a.cache.groups());
  store_row<Row>(x + a.cache.kv_heads * dim, dim, dim, cache.values + at * a.cache.row(), cache.value_scales + at);
}

constexpr int kPrefillThreads = 128, kPrefillQueries = 64; // of a block: 16 queries a warp
constexpr int kTiles = 3;                                  // one is read, two are on their way
constexpr float kLog2e = 1.44269504f;

// Keys or values of some positions as fp16, in shared memory: 16 KiB at most. A chunk is 8 channels, 16 bytes; chunks are
// exchanged so that both 8 positions at one chunk (values) and 2 positions at 4 chunks (keys) lie in different banks.
template <int kDim>
struct CacheTile {
  static constexpr int kPositions = kDim > 128 ? 16 : 64, kChunks = kDim / 8;
  uint4 chunks[kPositions * kChunks];

  __device__ static int at(int position, int chunk) {
    return position * kChunks + (chunk ^ ((position & 1) << 2 | (position & 2) | (position >> 2 & 1)));
  }

  // The thread's part of the positions from `start` on. Zeros stand where there is nothing: beyond the position `last` and
  // beyond the channel `dim`. `group` channels share one of a position's `groups` scales.
  template <typename Row>
  __device__ void fetch(const uint8_t* rows, const uint16_t* scales, int groups, int group, int dim, int start,
                        int last) {
    using Load = typename Row::Load;
    const int chunk = threadIdx.x % kChunks, channel = chunk * 8;
#pragma unroll
    for (int i = 0; i < kPositions; i += kPrefillThreads / kChunks) {
      const int position = i + threadIdx.x / kChunks, from = start + position;
      const bool there = from <= last && channel < dim;
      const Load* load = reinterpret_cast<const Load*>(rows) +
                         (there ? static_cast<size_t>(from) * (dim / 8) + chunk : 0);
      uint4& to = chunks[at(position, chunk)];
      if constexpr (!Row::kScaled) {
        begin_copy(&to, load, !there);
      } else {
        float x[8] = {};
        if (there) Row::expand(*load, scales[static_cast<size_t>(from) * groups + channel / group], x);
        to = {to_halves(x[0], x[1]), to_halves(x[2], x[3]), to_halves(x[4], x[5]), to_halves(x[6], x[7])};
      }
    }
  }
};

// kDim: head_dim or more. Grid: (heads, ceil(rows / kPrefillQueries)). A lane has the queries g and g + 8 of its warp, as
// multiply_tiles() says; of them the registers hold channels in an order in which a key's come as whole chunks.
template <typename Row, int kDim>
__global__ void __launch_bounds__(kPrefillThreads, 2) attend_prefill(Attention a) {
  await_previous();
  using Tile = CacheTile<kDim>;
  constexpr int kPositions = Tile::kPositions;
  __shared__ Tile tiles[kTiles]; // keys and values in turn

  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int head = blockIdx.x, dim = a.cache.head_dim, rows = a.step->rows, base = a.step->position;
  const int first = (gridDim.y - 1 - blockIdx.y) * kPrefillQueries; // those that look at most positions begin first
  const int end = first + kPrefillQueries < rows ? first + kPrefillQueries : rows, last = base + end - 1;
  const int oldest = a.window > 0 && base + first + 1 > a.window ? base + first + 1 - a.window : 0;
  const CacheHead cache(a.cache, a.step->cache, a.layer, head / a.group());

  // The warp's queries stand at positions [front, back]: none where there are no rows any more.
  const int row = first + warp * 16, front = base + row, back = row + 16 < end ? front + 15 : row < end ? last : -1;
  const int position[2] = {front + g, front + g + 8};

  const auto fetch_keys = [&](int slot, int start) {
    if (start <= last)
      tiles[slot].template fetch<Row>(cache.keys, cache.key_scales, a.cache.groups(), kKeyGroup, dim, start, last);
    commit_copies();
  };
  const auto fetch_values = [&](int slot, int start) {
    if (start <= last) tiles[slot].template fetch<Row>(cache.values, cache.value_scales, 1, kDim, dim, start, last);
    commit_copies();
  };
  fetch_keys(0, oldest);
  fetch_values(1, oldest);

  // Scores are powers of two: 2^(x log2 e) = e^x.
  uint32_t queries[kDim / 16][4];
#pragma unroll
  for (int i = 0; i < kDim / 32; ++i)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int channel = 32 * i + 8 * t;
      float4 x[2] = {};
      if (position[j] <= last && channel < dim) {
        const size_t at = static_cast<size_t>(row + g + 8 * j) * a.width() + head * dim + channel;
        x[0] = *reinterpret_cast<const float4*>(a.qkv + at);
        x[1] = *reinterpret_cast<const float4*>(a.qkv + at + 4);
      }
      const auto two = [](float low, float high) {
        return pair(to_number(low * kLog2e, Number::kHalf), to_number(high * kLog2e, Number::kHalf));
      };
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        queries[2 * i + k][j] = two(x[k].x, x[k].y);
        queries[2 * i + k][2 + j] = two(x[k].z, x[k].w);
      }
    }
  const float slope = a.slopes != nullptr ? a.slopes[head] * kLog2e : 0.0f, softcap = a.softcap * kLog2e;

  // No score is as low as the first maximum, and a masked one is far lower: its weight is 0 even if there is no other.
  float most[2] = {kLowest / 2, kLowest / 2}, sum[2] = {0, 0}; // the sum: of the lane's positions
  float sums[kDim / 8][4] = {};
  int slot = 0;
  const auto after = [](int slot) { return slot + 1 < kTiles ? slot + 1 : 0; };

  for (int start = oldest; start <= last; start += kPositions) {
    const bool any = start <= back;
    await_copies<kTiles - 2>();
    __syncthreads(); // these keys are there for all, and the values before are used by nobody any more
    fetch_keys(after(after(slot)), start + kPositions);
    uint32_t weights[kPositions / 16][4];
    if (any) {
      float scores[kPositions / 8][4] = {};
#pragma unroll
      for (int i = 0; i < kDim / 32; ++i)
#pragma unroll
        for (int eight = 0; eight < kPositions / 8; ++eight) {
          const uint4 key = tiles[slot].chunks[Tile::at(8 * eight + g, 4 * i + t)];
          multiply_tiles<Number::kHalf>(scores[eight], queries[2 * i], {key.x, key.y});
          multiply_tiles<Number::kHalf>(scores[eight], queries[2 * i + 1], {key.z, key.w});
        }
      if (a.softcap > 0.0f)
#pragma unroll
        for (auto& four : scores)
#pragma unroll
          for (float& score : four) score = softcap * tanhf(score / softcap);
      if (a.slopes != nullptr)
#pragma unroll
        for (int eight = 0; eight < kPositions / 8; ++eight)
#pragma unroll
          for (int i = 0; i < 4; ++i)
            scores[eight][i] += slope * static_cast<float>(start + 8 * eight + 2 * t + i % 2 - position[i / 2]);
      if (start + kPositions - 1 > front || (a.window > 0 && start < back + 1 - a.window))
#pragma unroll
        for (int eight = 0; eight < kPositions / 8; ++eight)
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const int at = start + 8 * eight + 2 * t + i % 2;
            const bool gone = a.window > 0 && at <= position[i / 2] - a.window;
            if (gone || at > position[i / 2]) scores[eight][i] = kLowest;
          }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float highest = most[j];
#pragma unroll
        for (const auto& four : scores) highest = fmaxf(highest, fmaxf(four[2 * j], four[2 * j + 1]));
        highest = max_lanes(highest, 4);
        const float before = power_of_two(most[j] - highest);
        most[j] = highest;
        sum[j] *= before;
#pragma unroll
        for (auto& four : sums) {
          four[2 * j] *= before;
          four[2 * j + 1] *= before;
        }
#pragma unroll
        for (int eight = 0; eight < kPositions / 8; ++eight) {
          const float low = power_of_two(scores[eight][2 * j] - highest),
                      high = power_of_two(scores[eight][2 * j + 1] - highest);
          sum[j] += low + high;
          weights[eight / 2][eight % 2 * 2 + j] = to_halves(low, high);
        }
      }
    }
    slot = after(slot);
    await_copies<kTiles - 2>();
    __syncthreads(); // these values are there for all, and the keys before are used by nobody any more
    fetch_values(after(after(slot)), start + kPositions);
    if (any)
#pragma unroll
      for (int i = 0; i < kPositions / 16; ++i)
#pragma unroll
        for (int two = 0; two < kDim / 16; ++two) {
          uint32_t values[4]; // of 16 positions and 16 channels
          load_transposed(values, &tiles[slot].chunks[Tile::at(16 * i + lane % 16, 2 * two + lane / 16)]);
          multiply_tiles<Number::kHalf>(sums[2 * two], weights[i], {values[0], values[1]});
          multiply_tiles<Number::kHalf>(sums[2 * two + 1], weights[i], {values[2], values[3]});
        }
    slot = after(slot);
  }
  await_copies<0>();

#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const float total = sum_lanes(sum[j], 4);
    if (position[j] > last) continue;
    const size_t out = static_cast<size_t>(row + g + 8 * j) * a.heads * dim;
#pragma unroll
    for (int eight = 0; eight < kDim / 8; ++eight) {
      const int channel = 8 * eight + 2 * t, at = head * dim + channel;
      if (channel >= dim) continue;
      float low = sums[eight][2 * j] / total, high = sums[eight][2 * j + 1] / total;
      if (a.input_scale != nullptr) {
        low *= a.input_scale[at];
        high *= a.input_scale[at + 1];
      }
      *reinterpret_cast<uint32_t*>(a.out + out + at) = pair(to_number(low, a.number), to_number(high, a.number));
    }
  }
}

} // namespace tinychat::cuda
