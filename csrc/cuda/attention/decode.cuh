// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of few tokens: each token's cache is split over blocks (flash-decoding, Dao et al., 2023). The block that arrives
// last merges the splits in their order, so the same input gives the same bits. With a single token the kernel also rotates
// the query and the key, and writes key and value to the cache.
//
// A few lanes, 8 channels each, read one slot. Each such group keeps its own online softmax (Milakov and Gimelshein, 2018) of
// up to kHeads queries in registers; the main loop has no synchronization.
#pragma once

#include <type_traits>

#include "cuda/attention/attention.h"
#include "cuda/attention/kv_layout.cuh"
#include "cuda/attention/rotary.cuh"
#include "cuda/primitives/pdl.cuh"

namespace tinychat::cuda {

// Threads of a block with `heads` queries: as many as the registers allow, so that few blocks have to be merged.
__host__ __device__ constexpr int decode_threads(int heads) { return heads == 1 ? 512 : 256; }

template <int kHeads>
struct OnlineSoftmax {
  float max_score[kHeads], sum[kHeads], value[kHeads][8];

  __device__ void clear() {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      max_score[h] = kLowest;
      sum[h] = 0;
#pragma unroll
      for (int c = 0; c < 8; ++c) value[h][c] = 0;
    }
  }

  // Adds more slots, with these scores for head h; those with kLowest do not count.
  template <int kCount>
  __device__ void update(int h, const float (&scores)[kCount], const float (&v)[kCount][8]) {
    float highest = max_score[h], weights[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) highest = fmaxf(highest, scores[i]);
    const float before = expf(max_score[h] - highest);
    max_score[h] = highest;
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

  // Merges the lane that differs in `offset`, which has the same channels of other slots.
  __device__ void merge(int offset) {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const float other = __shfl_xor_sync(kAllLanes, max_score[h], offset);
      const float highest = fmaxf(max_score[h], other);
      const float mine = expf(max_score[h] - highest), theirs = expf(other - highest);
      max_score[h] = highest;
      sum[h] = sum[h] * mine + __shfl_xor_sync(kAllLanes, sum[h], offset) * theirs;
#pragma unroll
      for (int c = 0; c < 8; ++c)
        value[h][c] = value[h][c] * mine + __shfl_xor_sync(kAllLanes, value[h][c], offset) * theirs;
    }
  }
};

// Lanes that read one slot.
__device__ inline int lanes_of(int head_dim) {
  int lanes = 2;
  while (lanes * 8 < head_dim) lanes *= 2;
  return lanes;
}

// Merges the splits of this block's `count` heads of a token, if all others have arrived; each head by a part of the threads.
// `first`: the block's first head, counted over all tokens.
template <int kHeads>
__device__ void merge_splits(const Attention& a, int first, int count, int splits, unsigned* counter) {
  __shared__ bool last;
  const int dim = a.cache.head_dim;
  __threadfence(); // this block's split is written before it counts as arrived
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1u) == static_cast<unsigned>(splits - 1);
    if (last) *counter = 0; // for the next launch
  }
  __syncthreads();
  if (!last) return;
  __threadfence(); // the other splits are read after they have arrived
  constexpr int kTeam = decode_threads(kHeads) / kHeads;
  const int h = first + static_cast<int>(threadIdx.x) / kTeam;
  if (h >= first + count) return;
  const volatile float* parts = a.partials + static_cast<size_t>(h) * splits * (dim + 2);
  float max_score = kLowest, sum = 0;
  for (int s = 0; s < splits; ++s) max_score = fmaxf(max_score, parts[s * (dim + 2) + dim]);
  for (int s = 0; s < splits; ++s) sum += expf(parts[s * (dim + 2) + dim] - max_score) * parts[s * (dim + 2) + dim + 1];
  for (int d = threadIdx.x % kTeam; d < dim; d += kTeam) {
    float value = 0;
    for (int s = 0; s < splits; ++s) value += expf(parts[s * (dim + 2) + dim] - max_score) * parts[s * (dim + 2) + d];
    value /= sum;
    if (a.input_scale != nullptr) value *= a.input_scale[h % a.heads * dim + d];
    a.out[h * dim + d] = to_dtype(value, a.dtype);
  }
}

// kFused: a single token, whose key and value are not in the cache yet. Otherwise rotate_and_store() has run.
// Grid: (kv_heads, splits, num_tokens * ceil(group / kHeads)). One block per multiprocessor is enough: asked for no number,
// ptxas spills registers to fit two.
template <typename Row, int kHeads, bool kFused>
__global__ void __launch_bounds__(decode_threads(kHeads), 1) attention_decode_kernel(Attention a) {
  pdl_wait();
  constexpr int kThreads = decode_threads(kHeads), kWarps = kThreads / kWarp, kDeep = kHeads == 1 ? 4 : 2;
  alignas(16) __shared__ float queries[kHeads][kMaxHeadDim];
  alignas(16) __shared__ float merged[kWarps][kMaxHeadDim];
  alignas(16) __shared__ uint8_t fresh_key[2 * kMaxHeadDim], fresh_value[2 * kMaxHeadDim];
  __shared__ uint16_t fresh_scales[kMaxHeadDim / kKeyGroup + 1];
  __shared__ float max_score[kWarps], sums[kWarps];

  const int kv_head = blockIdx.x, splits = gridDim.y, dim = a.cache.head_dim;
  const int blocks = (a.group() + kHeads - 1) / kHeads; // of a KV head of a token
  const int row = kFused ? 0 : blockIdx.z / blocks, block = kFused ? blockIdx.z : blockIdx.z % blocks;
  const int first = kv_head * a.group() + block * kHeads; // of this block's queries
  const int left = a.group() - block * kHeads, count_of_heads = left < kHeads ? left : kHeads;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const TokenParams& token = a.params[row];
  const int slot = token.slot;
  const CacheHead cache(a.cache, token, a.layer, kv_head);
  const float* qkv = a.qkv + static_cast<size_t>(row) * a.width();

  // This split's slots in the cache. A fused token sees itself last, and is not in the cache yet.
  const int visible = token.first_visible(a.window), all = kFused ? slot + 1 : token.end_visible(a.window);
  const int share = (all - visible + splits - 1) / splits;
  const int begin = visible + static_cast<int>(blockIdx.y) * share, in_cache = kFused ? slot : all;
  const int end = begin + share < in_cache ? begin + share : in_cache;
  const bool has_fresh = kFused && begin <= slot && slot < begin + share;

  const auto prepare = [&](const float* x, const float* norm, float scale, float* out) {
    prepare_head(x, norm, a.norm_eps, a.cosines, a.sines, a.half, dim, scale, out);
  };
  // Each task by a warp of its own, so that none waits for another's loads.
  static_assert(kHeads + 2 <= 10 && kWarps >= 8);
  for (int task = warp; task < kHeads + 2; task += kWarps) {
    if (task < count_of_heads) {
      const float* query = qkv + (first + task) * dim;
      if (kFused) prepare(query, a.q_norm, a.scale, queries[task]);
      else
        for (int d = lane; d < dim; d += kWarp) queries[task][d] = query[d];
    } else if (task < kHeads) {
      for (int d = lane; d < dim; d += kWarp) queries[task][d] = 0;
    } else if (has_fresh && task == kHeads) {
      prepare(qkv + (a.heads + kv_head) * dim, a.k_norm, 1.0f, merged[warp]);
      __syncwarp();
      store_row<Row>(merged[warp], dim, kKeyGroup, fresh_key, fresh_scales);
    } else if (has_fresh) {
      store_row<Row>(qkv + (a.heads + a.cache.kv_heads + kv_head) * dim, dim, dim, fresh_value,
                     fresh_scales + a.cache.groups());
    }
  }
  __syncthreads();
  if (has_fresh && block == 0) { // rows are multiples of 4 bytes
    const int words = static_cast<int>(a.cache.row()) / 4, i = threadIdx.x;
    if (i < words) {
      reinterpret_cast<uint32_t*>(cache.keys + slot * a.cache.row())[i] = reinterpret_cast<uint32_t*>(fresh_key)[i];
      reinterpret_cast<uint32_t*>(cache.values + slot * a.cache.row())[i] = reinterpret_cast<uint32_t*>(fresh_value)[i];
    }
    if (Row::kScaled) {
      if (i < a.cache.groups()) cache.key_scales[slot * a.cache.groups() + i] = fresh_scales[i];
      if (i == 0) cache.value_scales[slot] = fresh_scales[a.cache.groups()];
    }
  }

  const int lanes = lanes_of(dim), stride = kWarp / lanes * kWarps, channel = lane % lanes * 8;
  const bool active = channel < dim;
  using Load = typename Row::Load;
  OnlineSoftmax<kHeads> softmax;
  softmax.clear();

  // Adds the slots from `first_at` on, every `stride`-th; those from `last` on do not count.
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
        if (a.slopes != nullptr && h < count_of_heads)
          score += a.slopes[first + h] * static_cast<float>(at < slot ? at - slot : slot - at);
        scores[h][i] = at < last ? score : kLowest;
      }
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) softmax.update(h, scores[h], value);
  };
  const auto load = [&](const uint8_t* rows, int at) {
    return active ? *reinterpret_cast<const Load*>(rows + at * a.cache.row() + channel * (a.cache.row() / dim))
                  : Load{};
  };

  // All lanes of a warp make the same number of rounds, because the sums need each of them.
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
    visit(std::integral_constant<int, 1>(), slot, lane < lanes ? slot + 1 : slot, key, key_scale, value, value_scale);
  }

  for (int offset = lanes; offset < kWarp; offset *= 2) softmax.merge(offset);
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    __syncthreads(); // the previous round has been read
    if (lane < lanes && active)
#pragma unroll
      for (int c = 0; c < 8; ++c) merged[warp][channel + c] = softmax.value[h][c];
    if (lane == 0) {
      max_score[warp] = softmax.max_score[h];
      sums[warp] = softmax.sum[h];
    }
    __syncthreads();
    if (h >= count_of_heads) continue;
    float highest = max_score[0], sum = 0, factors[kWarps];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) highest = fmaxf(highest, max_score[w]);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      factors[w] = expf(max_score[w] - highest);
      sum += factors[w] * sums[w];
    }
    const int head = row * a.heads + first + h; // counted over all tokens
    float* part = a.partials + (static_cast<size_t>(head) * splits + blockIdx.y) * (dim + 2);
    for (int d = threadIdx.x; d < dim; d += kThreads) {
      float value = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) value += factors[w] * merged[w][d];
      if (splits > 1) {
        part[d] = value;
      } else {
        value /= sum;
        if (a.input_scale != nullptr) value *= a.input_scale[(first + h) * dim + d];
        a.out[static_cast<size_t>(head) * dim + d] = to_dtype(value, a.dtype);
      }
    }
    if (splits > 1 && threadIdx.x == 0) {
      part[dim] = highest;
      part[dim + 1] = sum;
    }
  }
  if (splits > 1)
    merge_splits<kHeads>(a, row * a.heads + first, count_of_heads, splits,
                         a.split_counters + (row * gridDim.x + kv_head) * blocks + block);
}

} // namespace tinychat::cuda
