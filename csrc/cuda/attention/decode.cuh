// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of one token: rotation and cache write inside, the cache split over blocks (flash-decoding, Dao et al., 2023)
// and joined in the order of the splits by whichever block arrives last, so that the same input gives the same bits.
//
// A few lanes, 8 channels each, read one position; every such group keeps its own running softmax (Milakov and Gimelshein,
// 2018) of up to kHeads queries in registers. Nothing waits for anything in the main loop.
#pragma once

#include <type_traits>

#include "cuda/attention/attention.h"
#include "cuda/attention/kv_layout.cuh"
#include "cuda/attention/rotary.cuh"
#include "cuda/primitives/pdl.cuh"

namespace tinychat::cuda {

// Threads of a block whose queries are kHeads: what registers have room for, as few blocks as may be have to be joined.
__host__ __device__ constexpr int decode_threads(int heads) { return heads == 1 ? 512 : 256; }

template <int kHeads>
struct Running {
  float most[kHeads], sum[kHeads], value[kHeads][8];

  __device__ void clear() {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      most[h] = kLowest;
      sum[h] = 0;
#pragma unroll
      for (int c = 0; c < 8; ++c) value[h][c] = 0;
    }
  }

  // More positions, with these scores for the head; those with kLowest do not count.
  template <int kCount>
  __device__ void add(int h, const float (&scores)[kCount], const float (&v)[kCount][8]) {
    float highest = most[h], weights[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) highest = fmaxf(highest, scores[i]);
    const float before = expf(most[h] - highest);
    most[h] = highest;
    sum[h] *= before;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      weights[i] = scores[i] > kLowest ? expf(scores[i] - highest) : 0.0f;
      sum[h] += weights[i];
    }
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      value[h][c] *= before;
#pragma unroll
      for (int i = 0; i < kCount; ++i) value[h][c] += weights[i] * v[i][c];
    }
  }

  // Joins the lane that differs in `offset`: it stands at the same channels of other positions.
  __device__ void join(int offset) {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const float other = __shfl_xor_sync(kAllLanes, most[h], offset);
      const float highest = fmaxf(most[h], other);
      const float mine = expf(most[h] - highest), theirs = expf(other - highest);
      most[h] = highest;
      sum[h] = sum[h] * mine + __shfl_xor_sync(kAllLanes, sum[h], offset) * theirs;
#pragma unroll
      for (int c = 0; c < 8; ++c)
        value[h][c] = value[h][c] * mine + __shfl_xor_sync(kAllLanes, value[h][c], offset) * theirs;
    }
  }
};

// Lanes that read one position.
__device__ inline int lanes_of(int head_dim) {
  int lanes = 2;
  while (lanes * 8 < head_dim) lanes *= 2;
  return lanes;
}

// Joins the splits of this block's heads, if all the others have arrived; each head by a part of the threads, as what they
// wait for is memory.
template <int kHeads>
__device__ void join_splits(const Attention& a, int first, int count, int splits) {
  __shared__ bool last;
  const int dim = a.cache.head_dim;
  __threadfence(); // this block's part before its arrival
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(&a.arrivals[first], 1u) == static_cast<unsigned>(splits - 1);
    if (last) a.arrivals[first] = 0; // for the next launch
  }
  __syncthreads();
  if (!last) return;
  __threadfence(); // the others' parts after their arrival
  constexpr int kTeam = decode_threads(kHeads) / kHeads;
  const int h = first + static_cast<int>(threadIdx.x) / kTeam;
  if (h >= first + count) return;
  const volatile float* parts = a.partials + static_cast<size_t>(h) * splits * (dim + 2);
  float most = kLowest, sum = 0;
  for (int s = 0; s < splits; ++s) most = fmaxf(most, parts[s * (dim + 2) + dim]);
  for (int s = 0; s < splits; ++s) sum += expf(parts[s * (dim + 2) + dim] - most) * parts[s * (dim + 2) + dim + 1];
  for (int d = threadIdx.x % kTeam; d < dim; d += kTeam) {
    float value = 0;
    for (int s = 0; s < splits; ++s) value += expf(parts[s * (dim + 2) + dim] - most) * parts[s * (dim + 2) + d];
    value /= sum;
    if (a.input_scale != nullptr) value *= a.input_scale[h * dim + d];
    a.out[h * dim + d] = to_number(value, a.number);
  }
}

// Grid: (kv_heads, splits, ceil(group / kHeads)).
template <typename Row, int kHeads>
__global__ void __launch_bounds__(decode_threads(kHeads)) attend_decode(Attention a) {
  await_previous();
  constexpr int kThreads = decode_threads(kHeads), kWarps = kThreads / kWarp, kDeep = kHeads == 1 ? 4 : 2;
  alignas(16) __shared__ float queries[kHeads][kMaxHeadDim];
  alignas(16) __shared__ float joined[kWarps][kMaxHeadDim];
  alignas(16) __shared__ uint8_t fresh_key[2 * kMaxHeadDim], fresh_value[2 * kMaxHeadDim];
  __shared__ uint16_t fresh_scales[kMaxHeadDim / kKeyGroup + 1];
  __shared__ float most[kWarps], sums[kWarps];

  const int kv_head = blockIdx.x, splits = gridDim.y, dim = a.cache.head_dim;
  const int first = kv_head * a.group() + blockIdx.z * kHeads; // of this block's queries
  const int left = a.group() - static_cast<int>(blockIdx.z) * kHeads, count_of_heads = left < kHeads ? left : kHeads;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int position = a.step->position;
  const CacheHead cache(a.cache, a.step->cache, a.layer, kv_head);

  // This split's positions, of which the last one of all is not in the cache yet.
  const int visible = a.window > 0 && position + 1 > a.window ? position + 1 - a.window : 0;
  const int share = (position + 1 - visible + splits - 1) / splits;
  const int begin = visible + static_cast<int>(blockIdx.y) * share;
  const int end = begin + share < position ? begin + share : position;
  const bool has_fresh = begin <= position && position < begin + share;

  const auto prepare = [&](const float* x, const float* norm, float scale, float* out) {
    prepare_head(x, norm, a.norm_eps, a.cosines, a.sines, a.half, dim, scale, out);
  };
  // Each of these by a warp of its own: none waits for what another loads.
  static_assert(kHeads + 2 <= 10 && kWarps >= 8);
  for (int task = warp; task < kHeads + 2; task += kWarps) {
    if (task < count_of_heads) {
      prepare(a.qkv + (first + task) * dim, a.q_norm, a.scale, queries[task]);
    } else if (task < kHeads) {
      for (int d = lane; d < dim; d += kWarp) queries[task][d] = 0;
    } else if (has_fresh && task == kHeads) {
      prepare(a.qkv + (a.heads + kv_head) * dim, a.k_norm, 1.0f, joined[warp]);
      __syncwarp();
      store_row<Row>(joined[warp], dim, kKeyGroup, fresh_key, fresh_scales);
    } else if (has_fresh) {
      store_row<Row>(a.qkv + (a.heads + a.cache.kv_heads + kv_head) * dim, dim, dim, fresh_value,
                     fresh_scales + a.cache.groups());
    }
  }
  __syncthreads();
  if (has_fresh && blockIdx.z == 0) { // rows are multiples of 4 bytes
    const int words = static_cast<int>(a.cache.row()) / 4, i = threadIdx.x;
    if (i < words) {
      reinterpret_cast<uint32_t*>(cache.keys + position * a.cache.row())[i] = reinterpret_cast<uint32_t*>(fresh_key)[i];
      reinterpret_cast<uint32_t*>(cache.values +
                                  position * a.cache.row())[i] = reinterpret_cast<uint32_t*>(fresh_value)[i];
    }
    if (Row::kScaled) {
      if (i < a.cache.groups()) cache.key_scales[position * a.cache.groups() + i] = fresh_scales[i];
      if (i == 0) cache.value_scales[position] = fresh_scales[a.cache.groups()];
    }
  }

  const int lanes = lanes_of(dim), stride = kWarp / lanes * kWarps, channel = lane % lanes * 8;
  const bool active = channel < dim;
  using Load = typename Row::Load;
  Running<kHeads> running;
  running.clear();

  // The positions from `first` on, every `stride`-th; those from `last` on do not count.
  const auto visit = [&](auto count, int first_at, int last, const auto& keys, const auto& key_scales,
                         const auto& values, const auto& value_scales) {
    constexpr int kCount = decltype(count)::value;
    float value[kCount][8], scores[kHeads][kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      float key[8];
      Row::expand(keys[i], key_scales[i], key);
      Row::expand(values[i], value_scales[i], value[i]);
      const int at = first_at + i * stride;
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float score = 0;
        if (active) {
#pragma unroll
          for (int c = 0; c < 8; ++c) score += queries[h][channel + c] * key[c];
        }
        score = sum_lanes(score, lanes);
        if (a.softcap > 0.0f) score = a.softcap * tanhf(score / a.softcap);
        if (a.slopes != nullptr && h < count_of_heads) score += a.slopes[first + h] * static_cast<float>(at - position);
        scores[h][i] = at < last ? score : kLowest;
      }
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) running.add(h, scores[h], value);
  };
  const auto load = [&](const uint8_t* rows, int at) {
    return active ? *reinterpret_cast<const Load*>(rows + at * a.cache.row() + channel * (a.cache.row() / dim))
                  : Load{};
  };

  // All lanes of a warp make the same number of rounds: the sums need each of them.
  for (int round = begin + warp * (kWarp / lanes); round < end; round += stride * kDeep) {
    Load keys[kDeep], values[kDeep];
    uint16_t key_scales[kDeep] = {}, value_scales[kDeep] = {};
#pragma unroll
    for (int i = 0; i < kDeep; ++i) {
      int at = round + lane / lanes + i * stride;
      if (at >= end) at = begin; // read, but not counted
      keys[i] = load(cache.keys, at);
      values[i] = load(cache.values, at);
      if (Row::kScaled && active) key_scales[i] = cache.key_scales[at * a.cache.groups() + channel / kKeyGroup];
      if (Row::kScaled) value_scales[i] = cache.value_scales[at];
    }
    visit(std::integral_constant<int, kDeep>(), round + lane / lanes, end, keys, key_scales, values, value_scales);
  }
  if (has_fresh && warp == 0) {
    const Load key[1] = {load(fresh_key, 0)}, value[1] = {load(fresh_value, 0)};
    uint16_t key_scale[1] = {}, value_scale[1] = {};
    if (Row::kScaled && active) key_scale[0] = fresh_scales[channel / kKeyGroup];
    if (Row::kScaled) value_scale[0] = fresh_scales[a.cache.groups()];
    visit(std::integral_constant<int, 1>(), position, lane < lanes ? position + 1 : position, key, key_scale, value,
          value_scale);
  }

  for (int offset = lanes; offset < kWarp; offset *= 2) running.join(offset);
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    __syncthreads(); // the round before has been read
    if (lane < lanes && active)
#pragma unroll
      for (int c = 0; c < 8; ++c) joined[warp][channel + c] = running.value[h][c];
    if (lane == 0) {
      most[warp] = running.most[h];
      sums[warp] = running.sum[h];
    }
    __syncthreads();
    if (h >= count_of_heads) continue;
    float highest = most[0], sum = 0, factors[kWarps];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) highest = fmaxf(highest, most[w]);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      factors[w] = expf(most[w] - highest);
      sum += factors[w] * sums[w];
    }
    float* part = a.partials + (static_cast<size_t>(first + h) * splits + blockIdx.y) * (dim + 2);
    for (int d = threadIdx.x; d < dim; d += kThreads) {
      float value = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) value += factors[w] * joined[w][d];
      if (splits > 1) {
        part[d] = value;
      } else {
        value /= sum;
        if (a.input_scale != nullptr) value *= a.input_scale[(first + h) * dim + d];
        a.out[(first + h) * dim + d] = to_number(value, a.number);
      }
    }
    if (splits > 1 && threadIdx.x == 0) {
      part[dim] = highest;
      part[dim + 1] = sum;
    }
  }
  if (splits > 1) join_splits<kHeads>(a, first, count_of_heads, splits);
}

} // namespace tinychat::cuda
