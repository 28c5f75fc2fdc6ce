// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What a pass computes, as arrays in device memory. Kernels of a captured graph read them there, so one graph serves every
// pass with the same number of tokens, whatever their sequences, positions and caches are.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace tinychat::cuda {

constexpr int kMaxTopK = 64; // candidates of a token that the device finds
// Of a causal sequence in a pass: bounds the buffers and the time until a cancel is seen.
constexpr int kMaxSequenceTokens = 512;
constexpr int kMaxGraphTokens = 8; // passes with more tokens are launched kernel by kernel

// A token. Slots count the tokens of its sequence in the memory of its cache; they decide which tokens it sees.
struct TokenParams {
  uint8_t* cache;      // keys and values of its sequence
  int32_t capacity;    // slots of that cache
  int32_t is_cached;   // 0: the cache holds one layer, which every layer overwrites (a sequence that is not causal)
  int32_t id;          // or -1: its embedding is in Embedding::rows
  int32_t position[3]; // of rotary and learned positions
  int32_t slot;        // where its key and value are stored
  int32_t first_slot;  // of the sequence
  int32_t end_slot;    // behind the last token that it sees without a window: itself if causal
  int32_t span_begin;  // slots of the bidirectional span around it, which it sees in any case; itself if there is none
  int32_t span_end;

  // The slots that it sees, [begin, end). A window covers `window` - 1 slots before it and, if not causal, as many behind; a
  // negative one (kOwnSpan) is the span.
  __host__ __device__ int first_visible(int window) const {
    if (window < 0) return span_begin;
    if (window <= 0 || slot + 1 - window <= first_slot) return first_slot;
    return span_begin < slot + 1 - window ? span_begin : slot + 1 - window;
  }
  __host__ __device__ int end_visible(int window) const {
    if (window < 0) return span_end;
    const int end = window > 0 && slot + window < end_slot ? slot + window : end_slot;
    return span_end > end ? span_end : end;
  }
};

// Up to 64 consecutive tokens of one sequence, which a block of the prefill kernel takes.
struct QueryBlock {
  int32_t first_token, num_tokens;
  int32_t span_begin; // the first slot of all their spans
  int32_t end_slot;   // behind the last slot that one of them sees
};

struct OutputParams {
  int32_t token; // its row before compact_tokens()
  int32_t k;     // candidates that are wanted; 0: none
  float penalty; // repetition penalty
  bool has_seen, has_allowed;
};

} // namespace tinychat::cuda
