// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The attention kernels: arguments and host functions.
#pragma once

#include <cstdint>

#include "cuda/attention/kv_layout.h"
#include "cuda/primitives/dtype.h"
#include "cuda/primitives/forward_params.h"
#include "cuda/primitives/launch.h"

namespace tinychat::cuda {

constexpr int kMaxSplits = 64;     // parts of a cache that are read in parallel
constexpr int kMaxDecodeHeads = 8; // queries of one KV head that a block of the decode kernel takes

struct Attention {
  const TokenParams* params;
  CacheShape cache; // of cached sequences; its capacity is in TokenParams
  int layer;
  int heads;
  int half;      // rotated pairs
  int window;    // slots that a token sees, its own included; 0: all
  float scale;   // of q·k
  float softcap; // 0: none
  float norm_eps;
  const float* q_norm; // [head_dim] or null
  const float* k_norm;
  const float* cosines; // [num_tokens][half]
  const float* sines;
  const float* slopes; // ALiBi [heads] or null

  float* qkv; // [num_tokens][(heads + 2 kv_heads) * head_dim]; rotate_and_store() rotates the queries in place
  const float* input_scale; // of the next matrix [heads * head_dim] or null
  DType dtype;
  uint16_t* out; // [num_tokens][heads * head_dim]
  // [num_tokens][heads][splits][head_dim + 2]: sums of values, then maximum and sum of weights. Empty with one split.
  float* partials;
  unsigned* split_counters; // [num_tokens][kv_heads][blocks of a KV head], zero between launches

  __host__ __device__ int group() const { return heads / cache.kv_heads; } // queries that read the same KV head
  __host__ __device__ int width() const { return (heads + 2 * cache.kv_heads) * cache.head_dim; }
};

// Splits for decoding `num_tokens` tokens that see up to `context` slots: about a block a multiprocessor, none with too little
// to do. With more than one split, partials need kMaxDecodeHeads * multiprocessors entries and split_counters
// multiprocessors.
int attention_splits(const Attention& a, int context, int num_tokens, int multiprocessors);

// Rotates all queries in place, and rotates and stores all keys and values.
void rotate_and_store(const LaunchContext& context, const Attention& a, int num_tokens);
// Attention of a single token, its rotation and cache write included.
void attention_decode_fused(const LaunchContext& context, const Attention& a, int splits);
// After rotate_and_store(): the first `num_tokens` tokens, each by blocks of its own that split the slots.
void attention_decode(const LaunchContext& context, const Attention& a, int num_tokens, int splits);
// After rotate_and_store(): the tokens of `blocks` [num_blocks], on tensor cores.
void attention_prefill(const LaunchContext& context, const Attention& a, const QueryBlock* blocks, int num_blocks);

constexpr int kPrefillQueries = 64; // tokens of a QueryBlock at most

} // namespace tinychat::cuda
