// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of many tokens: first all keys and values are stored, then blocks of queries read the cache tile by tile with an
// online softmax (FlashAttention-2, Dao, 2023). Queries, keys, weights and values are fp16, all sums are float.
#pragma once

#include "cuda/attention/attention.h"
#include "cuda/attention/kv_layout.cuh"
#include "cuda/attention/rotary.cuh"
#include "cuda/primitives/pair.cuh"
#include "cuda/primitives/pdl.cuh"
#include "cuda/primitives/ptx.h"

namespace tinychat::cuda {

constexpr int kStoreWarps = 4;

// Grid: (num_tokens, ceil((heads + kv_heads) / kStoreWarps)).
template <typename Row>
__global__ void __launch_bounds__(kStoreWarps* kWarp) rotate_and_store_kernel(Attention a) {
  pdl_wait();
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
  const TokenParams& token = a.params[row];
  const CacheHead cache(a.cache, token, a.layer, head - a.heads);
  const size_t at = token.slot;
  store_row<Row>(keys[warp], dim, kKeyGroup, cache.keys + at * a.cache.row(), cache.key_scales + at * a.cache.groups());
  store_row<Row>(x + a.cache.kv_heads * dim, dim, dim, cache.values + at * a.cache.row(), cache.value_scales + at);
}

constexpr int kPrefillThreads = kPrefillQueries / 16 * kWarp; // 16 queries a warp
constexpr int kTiles = 3;                                     // one is read while two are being copied
constexpr float kLog2e = 1.44269504f;

// Keys or values of some slots as fp16 in shared memory, at most 16 KiB. A chunk is 8 channels, 16 bytes; chunks are swizzled so
// that both 8 slots at one chunk (values) and 2 slots at 4 chunks (keys) are in different banks.
template <int kDim>
struct CacheTile {
  static constexpr int kSlots = kDim > 128 ? 16 : 64, kChunks = kDim / 8;
  uint4 chunks[kSlots * kChunks];

  __device__ static int at(int slot, int chunk) {
    return slot * kChunks + (chunk ^ ((slot & 1) << 2 | (slot & 2) | (slot >> 2 & 1)));
  }

  // Copies the thread's part of the slots from `start` on; zeros beyond the slot `last` and the channel `dim`. `group` channels
  // share one of a slot's `groups` scales.
  template <typename Row>
  __device__ void fetch(const uint8_t* rows, const uint16_t* scales, int groups, int group, int dim, int start,
                        int last) {
    using Load = typename Row::Load;
    const int chunk = threadIdx.x % kChunks, channel = chunk * 8;
#pragma unroll
    for (int i = 0; i < kSlots; i += kPrefillThreads / kChunks) {
      const int slot = i + threadIdx.x / kChunks, from = start + slot;
      const bool there = from <= last && channel < dim;
      const Load* load = reinterpret_cast<const Load*>(rows) +
                         (there ? static_cast<size_t>(from) * (dim / 8) + chunk : 0);
      uint4& to = chunks[at(slot, chunk)];
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

template <int kSize>
__device__ inline int* shared_ints() {
  __shared__ int values[kSize];
  return values;
}

// kDim: head_dim or more. Grid: (heads, number of blocks). A lane has the queries g and g + 8 of its warp, as in mma(); the
// registers hold their channels in an order in which those of a key are whole chunks.
template <typename Row, int kDim>
__global__ void __launch_bounds__(kPrefillThreads, 2) attention_prefill_kernel(Attention a, const QueryBlock* blocks) {
  pdl_wait();
  using Tile = CacheTile<kDim>;
  constexpr int kSlots = Tile::kSlots;
  __shared__ Tile tiles[kTiles]; // keys and values in turn
  // Tiles of 128 channels leave no shared memory of the 48 KiB that a kernel can declare.
  constexpr bool kKeepsRanges = sizeof(Tile) * kTiles + 2 * sizeof(int) * kPrefillQueries <= 48 << 10;

  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int head = blockIdx.x, dim = a.cache.head_dim;
  const QueryBlock& block = blocks[blockIdx.y];
  const TokenParams* params = a.params + block.first_token;
  const int count = block.num_tokens, first_slot = params->slot, last = block.end_slot - 1;
  const int earliest = params->first_visible(a.window);
  const int oldest = block.span_begin < earliest ? block.span_begin : earliest; // slot that a query of the block sees
  const CacheHead cache(a.cache, *params, a.layer, head / a.group());
  int* ranges = nullptr; // [kPrefillQueries] where a query's visible slots begin, and the same of their ends
  if constexpr (kKeepsRanges) {
    ranges = shared_ints<2 * kPrefillQueries>();
    for (int i = threadIdx.x; i < count; i += kPrefillThreads) {
      ranges[i] = params[i].first_visible(a.window);
      ranges[kPrefillQueries + i] = params[i].end_visible(a.window);
    }
    __syncthreads();
  }
  const auto begin_visible = [&](int i) {
    if constexpr (kKeepsRanges) return ranges[i];
    else return params[i].first_visible(a.window);
  };
  const auto end_visible = [&](int i) {
    if constexpr (kKeepsRanges) return ranges[kPrefillQueries + i];
    else return params[i].end_visible(a.window);
  };

  // The warp's queries: the last slot that any sees, and the slots [all_begin, all_end) that all of them see.
  const int row = warp * 16, query[2] = {row + g, row + g + 8};
  int warp_end = 0, all_begin = 0, all_end = last + 1;
  for (int i = row; i < row + 16 && i < count; ++i) {
    const int begin = begin_visible(i), end = end_visible(i);
    warp_end = end > warp_end ? end : warp_end;
    all_begin = begin > all_begin ? begin : all_begin;
    all_end = end < all_end ? end : all_end;
  }

  const auto fetch_keys = [&](int tile, int start) {
    if (start <= last)
      tiles[tile].template fetch<Row>(cache.keys, cache.key_scales, a.cache.groups(), kKeyGroup, dim, start, last);
    commit_copies();
  };
  const auto fetch_values = [&](int tile, int start) {
    if (start <= last) tiles[tile].template fetch<Row>(cache.values, cache.value_scales, 1, kDim, dim, start, last);
    commit_copies();
  };
  fetch_keys(0, oldest);
  fetch_values(1, oldest);

  // Scores are exponents of two: 2^(x log2 e) = e^x.
  uint32_t queries[kDim / 16][4];
#pragma unroll
  for (int i = 0; i < kDim / 32; ++i)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int channel = 32 * i + 8 * t;
      float4 x[2] = {};
      if (query[j] < count && channel < dim) {
        const size_t at = static_cast<size_t>(block.first_token + query[j]) * a.width() + head * dim + channel;
        x[0] = *reinterpret_cast<const float4*>(a.qkv + at);
        x[1] = *reinterpret_cast<const float4*>(a.qkv + at + 4);
      }
      const auto two = [](float low, float high) {
        return pair(to_dtype(low * kLog2e, DType::kFp16), to_dtype(high * kLog2e, DType::kFp16));
      };
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        queries[2 * i + k][j] = two(x[k].x, x[k].y);
        queries[2 * i + k][2 + j] = two(x[k].z, x[k].w);
      }
    }
  const float slope = a.slopes != nullptr ? a.slopes[head] * kLog2e : 0.0f, softcap = a.softcap * kLog2e;

  // Every score is above the initial maximum, and a masked one far below: its weight is 0 even if a query sees no other slot.
  float max_score[2] = {kLowest / 2, kLowest / 2}, sum[2] = {0, 0}; // the sum: of the lane's slots
  float sums[kDim / 8][4] = {};
  int ring = 0; // the tile that is read
  const auto after = [](int tile) { return tile + 1 < kTiles ? tile + 1 : 0; };

  for (int start = oldest; start <= last; start += kSlots) {
    const bool any = start < warp_end;
    await_copies<kTiles - 2>();
    __syncthreads(); // these keys have landed, and nobody reads the previous values any more
    fetch_keys(after(after(ring)), start + kSlots);
    uint32_t weights[kSlots / 16][4];
    if (any) {
      float scores[kSlots / 8][4] = {};
#pragma unroll
      for (int i = 0; i < kDim / 32; ++i)
#pragma unroll
        for (int key_tile = 0; key_tile < kSlots / 8; ++key_tile) {
          const uint4 key = tiles[ring].chunks[Tile::at(8 * key_tile + g, 4 * i + t)];
          mma<DType::kFp16>(scores[key_tile], queries[2 * i], {key.x, key.y});
          mma<DType::kFp16>(scores[key_tile], queries[2 * i + 1], {key.z, key.w});
        }
      if (a.softcap > 0.0f)
#pragma unroll
        for (auto& four : scores)
#pragma unroll
          for (float& score : four) score = softcap * tanhf(score / softcap);
      if (a.slopes != nullptr)
#pragma unroll
        for (int key_tile = 0; key_tile < kSlots / 8; ++key_tile)
#pragma unroll
          for (int i = 0; i < 4; ++i)
            scores[key_tile][i] -=
                slope * fabsf(static_cast<float>(start + 8 * key_tile + 2 * t + i % 2 - first_slot - query[i / 2]));
      if (start < all_begin || start + kSlots > all_end) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int q = query[j] < count ? query[j] : 0, begin = begin_visible(q), end = end_visible(q);
#pragma unroll
          for (int key_tile = 0; key_tile < kSlots / 8; ++key_tile)
#pragma unroll
            for (int i = 0; i < 2; ++i) {
              const int at = start + 8 * key_tile + 2 * t + i;
              if (at < begin || at >= end) scores[key_tile][2 * j + i] = kLowest;
            }
        }
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float highest = max_score[j];
#pragma unroll
        for (const auto& four : scores) highest = fmaxf(highest, fmaxf(four[2 * j], four[2 * j + 1]));
        highest = max_lanes(highest, 4);
        const float before = power_of_two(max_score[j] - highest);
        max_score[j] = highest;
        sum[j] *= before;
#pragma unroll
        for (auto& four : sums) {
          four[2 * j] *= before;
          four[2 * j + 1] *= before;
        }
#pragma unroll
        for (int key_tile = 0; key_tile < kSlots / 8; ++key_tile) {
          const float low = power_of_two(scores[key_tile][2 * j] - highest),
                      high = power_of_two(scores[key_tile][2 * j + 1] - highest);
          sum[j] += low + high;
          weights[key_tile / 2][key_tile % 2 * 2 + j] = to_halves(low, high);
        }
      }
    }
    ring = after(ring);
    await_copies<kTiles - 2>();
    __syncthreads(); // these values have landed, and nobody reads the previous keys any more
    fetch_values(after(after(ring)), start + kSlots);
    if (any)
#pragma unroll
      for (int i = 0; i < kSlots / 16; ++i)
#pragma unroll
        for (int two = 0; two < kDim / 16; ++two) {
          uint32_t values[4]; // of 16 slots and 16 channels
          load_transposed(values, &tiles[ring].chunks[Tile::at(16 * i + lane % 16, 2 * two + lane / 16)]);
          mma<DType::kFp16>(sums[2 * two], weights[i], {values[0], values[1]});
          mma<DType::kFp16>(sums[2 * two + 1], weights[i], {values[2], values[3]});
        }
    ring = after(ring);
  }
  await_copies<0>();

#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const float total = sum_lanes(sum[j], 4);
    if (query[j] >= count) continue;
    const size_t out = static_cast<size_t>(block.first_token + query[j]) * a.heads * dim;
#pragma unroll
    for (int tile = 0; tile < kDim / 8; ++tile) {
      const int channel = 8 * tile + 2 * t, at = head * dim + channel;
      if (channel >= dim) continue;
      float low = sums[tile][2 * j] / total, high = sums[tile][2 * j + 1] / total;
      if (a.input_scale != nullptr) {
        low *= a.input_scale[at];
        high *= a.input_scale[at + 1];
      }
      *reinterpret_cast<uint32_t*>(a.out + out + at) = pair(to_dtype(low, a.dtype), to_dtype(high, a.dtype));
    }
  }
}

} // namespace tinychat::cuda
