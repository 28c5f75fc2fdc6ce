// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The k likeliest tokens of rows of logits: a short list crosses to the host instead of the vocabulary.
#pragma once

#include "cuda/elementwise/top_k.h"
#include "cuda/primitives/pdl.cuh"
#include "cuda/primitives/reduce.cuh"

namespace tinychat::cuda {

constexpr int kTopKThreads = 256;
constexpr int kTopKBlock = 16 * kTopKThreads; // logits that a block searches

// The order of the sampler: likelier first, then the lower id. No two tokens are equal in it.
__device__ inline bool comes_before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

__device__ inline Candidate best_of_block(Candidate mine, Candidate* scratch) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const Candidate other = {__shfl_xor_sync(kAllLanes, mine.logit, offset),
                             __shfl_xor_sync(kAllLanes, mine.token, offset)};
    if (comes_before(other, mine)) mine = other;
  }
  if (lane == 0) scratch[warp] = mine;
  __syncthreads();
  for (int i = 0; i < warps; ++i)
    if (comes_before(scratch[i], mine)) mine = scratch[i];
  __syncthreads();
  return mine;
}

// The logit of output blockIdx.y that the sampler sees: after the repetition penalty and the mask.
__device__ inline float apply_penalty_and_mask(const TopKArgs& args, int token) {
  const OutputParams& output = args.outputs[blockIdx.y];
  const size_t row = blockIdx.y, words = (args.vocab + 31) / 32, word = row * words + token / 32;
  float logit = args.logits[row * args.vocab + token];
  if (output.has_seen && (args.seen[word] >> (token % 32) & 1))
    logit = logit > 0.0f ? logit / output.penalty : logit * output.penalty;
  if (output.has_allowed && (args.allowed[word] >> (token % 32) & 1) == 0) logit = -INFINITY;
  return logit;
}

// Writes the first k of the candidates that `for_each` visits, in order, by the whole block. If one of them is NaN, the first
// one written is.
template <typename ForEach>
__device__ inline void write_top_k(const ForEach& for_each, int k, Candidate* out) {
  __shared__ Candidate scratch[kWarp];
  __shared__ float sums[kWarp];
  float num_nan = 0;
  for_each([&](const Candidate& c) { num_nan += c.logit != c.logit ? 1.0f : 0.0f; });
  num_nan = sum_block(num_nan, sums);
  Candidate last = {INFINITY, -1};
  for (int n = 0; n < k; ++n) {
    Candidate best = {-INFINITY, 0x7fffffff};
    for_each([&](const Candidate& next) {
      if (comes_before(last, next) && comes_before(next, best)) best = next;
    });
    last = best_of_block(best, scratch);
    if (threadIdx.x == 0) out[n] = {n == 0 && num_nan > 0.0f ? NAN : last.logit, last.token};
  }
}

// The top k of each block of the vocabulary. Grid: (top_k_partials(vocab), num_outputs).
__global__ void __launch_bounds__(kTopKThreads) partial_top_k(TopKArgs args) {
  pdl_wait();
  constexpr int kMine = kTopKBlock / kTopKThreads;
  const int k = args.outputs[blockIdx.y].k;
  if (k == 0) return;
  const int begin = blockIdx.x * kTopKBlock + static_cast<int>(threadIdx.x);
  float mine[kMine];
#pragma unroll
  for (int i = 0; i < kMine; ++i) {
    const int token = begin + i * kTopKThreads;
    mine[i] = token < args.vocab ? apply_penalty_and_mask(args, token) : -INFINITY;
  }
  const auto for_each = [&](const auto& use) {
#pragma unroll
    for (int i = 0; i < kMine; ++i) use(Candidate{mine[i], begin + i * kTopKThreads});
  };
  const size_t partial = static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x;
  write_top_k(for_each, k, args.partial_top_k + partial * kMaxTopK);
}

// The top k of all partial lists of an output. Grid: (1, num_outputs).
__global__ void __launch_bounds__(kTopKThreads) merge_top_k(TopKArgs args, int partials) {
  pdl_wait();
  const int k = args.outputs[blockIdx.y].k;
  if (k == 0) return;
  const Candidate* lists = args.partial_top_k + static_cast<size_t>(blockIdx.y) * partials * kMaxTopK;
  const auto for_each = [&](const auto& use) {
    for (int i = threadIdx.x; i < partials * k; i += kTopKThreads) use(lists[i / k * kMaxTopK + i % k]);
  };
  write_top_k(for_each, k, args.found + static_cast<size_t>(blockIdx.y) * kMaxTopK);
}

} // namespace tinychat::cuda
