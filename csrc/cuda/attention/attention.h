// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the attention kernels are told, and the kernels as functions of the host.
#pragma once

#include <cstdint>

#include "cuda/attention/kv_layout.h"
#include "cuda/primitives/dtype.h"
#include "cuda/primitives/forward_params.h"
#include "cuda/primitives/launch.h"

namespace tinychat::cuda {

constexpr int kMaxSplits = 64; // parts of a cache that are read at once

struct Attention {
  const Step* step;
  CacheShape cache;
  int layer;
  int heads;
  int half;      // rotated pairs
  int window;    // positions that a token sees, itself included; 0: all
  float scale;   // of q·k
  float softcap; // 0: none
  float norm_eps;
  const float* q_norm; // [head_dim] or null
  const float* k_norm;
  const float* cosines; // [rows][half]
  const float* sines;
  const float* slopes; // ALiBi [heads] or null

  float* qkv; // [rows][(heads + 2 kv_heads) * head_dim]; rotate_and_store() rotates the queries where they are
  const float* input_scale; // of the next matrix [heads * head_dim] or null
  Number number;
  uint16_t* out;      // [rows][heads * head_dim]
  float* partials;    // [heads][splits][head_dim + 2]: sums of values, then maximum and sum of weights
  unsigned* arrivals; // [heads], zero between launches

  __host__ __device__ int group() const { return heads / cache.kv_heads; } // queries that read the same KV head
  __host__ __device__ int width() const { return (heads + 2 * cache.kv_heads) * cache.head_dim; }
};

// Parts in which attend_one() reads a cache of up to `reach` positions: a block a multiprocessor, but none with little to do.
int attention_splits(const Attention& a, int reach, int multiprocessors);
// One token, the cache read in `splits` parts at once.
void attend_one(const Queue& queue, const Attention& a, int splits);
void attend_many(const Queue& queue, const Attention& a, int rows);

} // namespace tinychat::cuda
