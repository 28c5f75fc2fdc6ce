// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The likeliest tokens, found where the logits are: what crosses to the host is a list of a few, not the vocabulary.
#pragma once

#include "cuda/choice.h"
#include "cuda/overlap.cuh"
#include "cuda/reduce.cuh"

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
  if (c.seen != nullptr && (c.seen[token / 32] >> (token % 32) & 1))
    logit = logit > 0.0f ? logit / c.penalty : logit * c.penalty;
  if (c.allowed != nullptr && (c.allowed[token / 32] >> (token % 32) & 1) == 0) logit = -INFINITY;
  return logit;
}

// The first `count` of each share of the vocabulary. Grid: (ceil(vocab / kChoiceShare)).
__global__ void __launch_bounds__(kChoiceThreads) choose_of_share(Choosing c) {
  await_previous();
  __shared__ Candidate scratch[kWarp];
  __shared__ float sums[kWarp];
  const int begin = blockIdx.x * kChoiceShare;
  float mine[kChoiceShare / kChoiceThreads];
  int strange = 0; // NaN or infinity
#pragma unroll
  for (int i = 0; i < kChoiceShare / kChoiceThreads; ++i) {
    const int token = begin + i * kChoiceThreads + threadIdx.x;
    mine[i] = token < c.vocab ? adjusted(c, token) : -INFINITY;
    strange |= !(mine[i] < INFINITY);
  }
  Candidate last = {INFINITY, -1};
  Candidate* out = c.shares + static_cast<size_t>(blockIdx.x) * c.count;
  float highest = 0;
  for (int n = 0; n < c.count; ++n) {
    Candidate best = {-INFINITY, 0x7fffffff};
#pragma unroll
    for (int i = 0; i < kChoiceShare / kChoiceThreads; ++i) {
      const Candidate next = {mine[i], begin + i * kChoiceThreads + static_cast<int>(threadIdx.x)};
      if (comes_before(last, next) && comes_before(next, best)) best = next;
    }
    last = first_of_block(best, scratch);
    if (n == 0) highest = last.logit;
    if (threadIdx.x == 0) out[n] = last;
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kChoiceShare / kChoiceThreads; ++i)
    if (mine[i] > -INFINITY) sum += expf((mine[i] - highest) * c.inverse_temperature);
  sum = sum_block(sum, sums);
  const float strangers = sum_block(static_cast<float>(strange), sums);
  if (threadIdx.x == 0) c.masses[blockIdx.x] = strangers > 0.0f ? NAN : sum;
}

// The first `count` of all shares, and the mass of all tokens relative to the likeliest. One block.
__global__ void __launch_bounds__(kChoiceThreads) choose_of_all(Choosing c, int shares) {
  await_previous();
  __shared__ Candidate scratch[kWarp];
  Candidate last = {INFINITY, -1};
  float highest = 0;
  for (int n = 0; n < c.count; ++n) {
    Candidate best = {-INFINITY, 0x7fffffff};
    for (int i = threadIdx.x; i < shares * c.count; i += kChoiceThreads) {
      const Candidate next = c.shares[i];
      if (comes_before(last, next) && comes_before(next, best)) best = next;
    }
    last = first_of_block(best, scratch);
    if (n == 0) highest = last.logit;
    if (threadIdx.x == 0) c.chosen->candidates[n] = last;
  }
  if (threadIdx.x != 0) return;
  float mass = 0;
  for (int i = 0; i < shares; ++i) {
    const float of_share = c.shares[static_cast<size_t>(i) * c.count].logit;
    if (!(c.masses[i] == c.masses[i])) mass = NAN;
    else if (of_share > -INFINITY) mass += c.masses[i] * expf((of_share - highest) * c.inverse_temperature);
  }
  c.chosen->mass = mass;
}

} // namespace tinychat::cuda
