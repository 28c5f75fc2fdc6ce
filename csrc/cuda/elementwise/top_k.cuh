// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The likeliest tokens, found where the logits are: what crosses to the host is a list of a few, not the vocabulary.
#pragma once

#include "cuda/elementwise/top_k.h"
#include "cuda/primitives/pdl.cuh"
#include "cuda/primitives/reduce.cuh"

namespace tinychat::cuda {

constexpr int kChoiceThreads = 256;
constexpr int kChoiceShare = 16 * kChoiceThreads; // logits that a block looks at

// The order of the sampler: likelier first, then the lower id. No two tokens are equal in it.
__device__ inline bool comes_before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

__device__ inline Candidate first_of_block(Candidate mine, Candidate* scratch) {
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

// What sampling makes of a logit: repetition penalty, then what is forbidden.
__device__ inline float adjusted(const Choosing& c, int token) {
  float logit = c.logits[token];
  if (c.step->seen && (c.seen[token / 32] >> (token % 32) & 1))
    logit = logit > 0.0f ? logit / c.step->penalty : logit * c.step->penalty;
  if (c.step->allowed && (c.allowed[token / 32] >> (token % 32) & 1) == 0) logit = -INFINITY;
  return logit;
}

// Writes the first `count` of what `each` goes through, in order, by the whole block; NaN first where one of them is.
template <typename Each>
__device__ inline void first_of(const Each& each, int count, Candidate* out) {
  __shared__ Candidate scratch[kWarp];
  __shared__ float sums[kWarp];
  float strange = 0;
  each([&](const Candidate& c) { strange += c.logit != c.logit ? 1.0f : 0.0f; });
  strange = sum_block(strange, sums);
  Candidate last = {INFINITY, -1};
  for (int n = 0; n < count; ++n) {
    Candidate best = {-INFINITY, 0x7fffffff};
    each([&](const Candidate& next) {
      if (comes_before(last, next) && comes_before(next, best)) best = next;
    });
    last = first_of_block(best, scratch);
    if (threadIdx.x == 0) out[n] = {n == 0 && strange > 0.0f ? NAN : last.logit, last.token};
  }
}

// The first ones of each share of the vocabulary. Grid: (ceil(vocab / kChoiceShare)).
__global__ void __launch_bounds__(kChoiceThreads) choose_of_share(Choosing c) {
  await_previous();
  constexpr int kMine = kChoiceShare / kChoiceThreads;
  const int begin = blockIdx.x * kChoiceShare + static_cast<int>(threadIdx.x);
  float mine[kMine];
#pragma unroll
  for (int i = 0; i < kMine; ++i) {
    const int token = begin + i * kChoiceThreads;
    mine[i] = token < c.vocab ? adjusted(c, token) : -INFINITY;
  }
  const auto each = [&](const auto& use) {
#pragma unroll
    for (int i = 0; i < kMine; ++i) use(Candidate{mine[i], begin + i * kChoiceThreads});
  };
  first_of(each, c.step->candidates, c.shares + static_cast<size_t>(blockIdx.x) * kMostCandidates);
}

// The first ones of all shares. One block.
__global__ void __launch_bounds__(kChoiceThreads) choose_of_all(Choosing c, int shares) {
  await_previous();
  const int count = c.step->candidates;
  const auto each = [&](const auto& use) {
    for (int i = threadIdx.x; i < shares * count; i += kChoiceThreads)
      use(c.shares[i / count * kMostCandidates + i % count]);
  };
  first_of(each, count, c.chosen);
}

} // namespace tinychat::cuda
