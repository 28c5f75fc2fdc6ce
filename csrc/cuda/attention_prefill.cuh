// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of many tokens: first every key and value goes to the cache, then blocks of queries go over it tile by tile
// with a running softmax (FlashAttention, Dao et al., 2022), in float throughout.
#pragma once

#include "cuda/attention.h"
#include "cuda/cache.cuh"
#include "cuda/overlap.cuh"
#include "cuda/rotary.cuh"

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

constexpr int kPrefillThreads = 128;
constexpr int kTile = 32;        // positions looked at together
constexpr int kPrefillSums = 32; // channels of a query that a thread sums up

// A block has kPrefillThreads * kPrefillSums / kDim queries of one head. Grid: (heads, ceil(rows / queries)).
template <int kDim>
constexpr int kPrefillQueries = kPrefillThreads * kPrefillSums / kDim;

// kDim: head_dim or more.
template <typename Row, int kDim>
__global__ void __launch_bounds__(kPrefillThreads) attend_prefill(Attention a) {
  await_previous();
  constexpr int kQueries = kPrefillQueries<kDim>, kPerQuery = kPrefillThreads / kQueries;
  // Rows are padded so that lanes that stand in the same column of different rows use different banks.
  __shared__ float queries[kQueries][kDim + 1];
  __shared__ uint16_t tile[kTile][kDim + 2];
  __shared__ float weights[kQueries][kTile + 1];

  const int head = blockIdx.x, first = blockIdx.y * kQueries, dim = a.cache.head_dim, rows = a.step->rows;
  const int query = threadIdx.x / kPerQuery, part = threadIdx.x % kPerQuery;
  const int base = a.step->position, last_row = first + kQueries < rows ? first + kQueries - 1 : rows - 1;
  const int position = base + (first + query < rows ? first + query : rows - 1); // of this thread's query
  const int visible = a.window > 0 && position + 1 > a.window ? position + 1 - a.window : 0;
  const int oldest = a.window > 0 && base + first + 1 > a.window ? base + first + 1 - a.window : 0;
  const CacheHead cache(a.cache, a.step->cache, a.layer, head / a.group());

  for (int i = threadIdx.x; i < kQueries * dim; i += kPrefillThreads) {
    const int row = first + i / dim < rows ? first + i / dim : rows - 1;
    queries[i / dim][i % dim] = a.qkv[static_cast<size_t>(row) * a.width() + head * dim + i % dim];
  }
  // Positions [start, start + kTile) of keys or values into `tile`, as fp16; what lies beyond the last is zero.
  const auto fetch = [&](const uint8_t* source, const float* scales, int groups, int group, int start) {
    __syncthreads(); // the tile before has been read
    for (int i = threadIdx.x * 8; i < kTile * dim; i += kPrefillThreads * 8) {
      const int at = start + i / dim, channel = i % dim;
      float x[8] = {0, 0, 0, 0, 0, 0, 0, 0};
      if (at <= base + last_row)
        Row::expand(
            *reinterpret_cast<const typename Row::Load*>(source + at * a.cache.row() + channel * (a.cache.row() / dim)),
            Row::kScaled ? scales[static_cast<size_t>(at) * groups + channel / group] : 1.0f, x);
#pragma unroll
      for (int c = 0; c < 8; ++c) tile[i / dim][channel + c] = to_half(x[c]);
    }
    __syncthreads();
  };

  float most = kLowest, sum = 0, sums[kPrefillSums];
#pragma unroll
  for (int i = 0; i < kPrefillSums; ++i) sums[i] = 0;
  const float slope = a.slopes != nullptr ? a.slopes[head] : 0.0f;

  for (int start = oldest; start <= base + last_row; start += kTile) {
    fetch(cache.keys, cache.key_scales, a.cache.groups(), kKeyGroup, start);
    float scores[kTile / kPerQuery], highest = most;
#pragma unroll
    for (int i = 0; i < kTile / kPerQuery; ++i) scores[i] = 0;
    for (int d = 0; d < dim; ++d) {
      const float q = queries[query][d];
#pragma unroll
      for (int i = 0; i < kTile / kPerQuery; ++i) scores[i] += q * from_half(tile[part + i * kPerQuery][d]);
    }
#pragma unroll
    for (int i = 0; i < kTile / kPerQuery; ++i) {
      const int at = start + part + i * kPerQuery;
      if (a.softcap > 0.0f) scores[i] = a.softcap * tanhf(scores[i] / a.softcap);
      scores[i] += slope * static_cast<float>(at - position);
      if (at < visible || at > position) scores[i] = kLowest;
      highest = fmaxf(highest, scores[i]);
    }
    highest = max_lanes(highest, kPerQuery); // the threads of a query are neighbours in a warp
    const float before = expf(most - highest);
    float total = 0;
#pragma unroll
    for (int i = 0; i < kTile / kPerQuery; ++i) {
      const float weight = scores[i] > kLowest ? expf(scores[i] - highest) : 0.0f;
      weights[query][part + i * kPerQuery] = weight;
      total += weight;
    }
    most = highest;
    sum = sum * before + sum_lanes(total, kPerQuery);
    fetch(cache.values, cache.value_scales, 1, kDim, start);
#pragma unroll
    for (int i = 0; i < kPrefillSums; ++i) sums[i] *= before;
    for (int p = 0; p < kTile; ++p) {
      const float weight = weights[query][p];
#pragma unroll
      for (int i = 0; i < kPrefillSums; ++i)
        if (part + i * kPerQuery < dim) sums[i] += weight * from_half(tile[p][part + i * kPerQuery]);
    }
  }
  if (first + query >= rows) return;
  const int width = a.heads * dim;
#pragma unroll
  for (int i = 0; i < kPrefillSums; ++i) {
    const int channel = part + i * kPerQuery;
    if (channel >= dim) continue;
    float value = sums[i] / sum;
    if (a.input_scale != nullptr) value *= a.input_scale[head * dim + channel];
    a.out[static_cast<size_t>(first + query) * width + head * dim + channel] = to_number(value, a.number);
  }
}

} // namespace tinychat::cuda
