// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The parameters of a pass: packed in pinned memory, copied to the device at once.
#pragma once

#include <vector>

#include "cuda/attention/kv_layout.h"
#include "cuda/primitives/forward_params.h"
#include "cuda/runtime/memory.h"
#include "decoder/forward_batch.h"

namespace tinychat::cuda {

// Keys and values of the sequences of a pass that are not causal: of one layer, overwritten by the next one.
struct ScratchCache {
  uint8_t* memory = nullptr;
  int capacity = 0; // tokens
};

class PassParams {
 public:
  static constexpr int kFewTokens = kMaxGraphTokens; // of a sequence: they take the decode kernel

  PassParams() = default;
  explicit PassParams(int max_tokens);

  // The pass that is described from now on. Its caches are CudaKvCaches, which have their memory after this.
  void set(const ForwardBatch& pass, const ScratchCache& scratch);

  // Enqueues the copy. Its size and the addresses below depend on the number of tokens and outputs alone in passes of up to
  // kMaxGraphTokens tokens, which have no query blocks.
  void copy(cudaStream_t stream) const;

  const TokenParams* tokens() const { return reinterpret_cast<const TokenParams*>(device_.get()); }
  const OutputParams* outputs() const { return reinterpret_cast<const OutputParams*>(device_.get() + outputs_at_); }
  const QueryBlock* query_blocks() const { return reinterpret_cast<const QueryBlock*>(device_.get() + blocks_at_); }

  int num_decode_tokens() const {
    return num_decode_tokens_;
  } // the first ones of the pass; the others are in query blocks
  int num_query_blocks() const { return num_query_blocks_; }
  // The same, without those that have no output.
  int num_decode_tokens_with_outputs() const { return num_decode_tokens_with_outputs_; }
  int num_query_blocks_with_outputs() const { return num_query_blocks_with_outputs_; } // they come first
  int longest_context() const { return longest_context_; } // slots that a token of the decode kernel sees, at most

 private:
  void set_tokens(const ForwardBatch& pass, const ScratchCache& scratch);
  void set_outputs(const ForwardBatch& pass);
  void set_query_blocks(const ForwardBatch& pass);

  PinnedArray<uint8_t> host_;
  DeviceArray<uint8_t> device_;
  size_t outputs_at_ = 0, blocks_at_ = 0, size_ = 0;
  int num_decode_tokens_ = 0, num_query_blocks_ = 0;
  int num_decode_tokens_with_outputs_ = 0, num_query_blocks_with_outputs_ = 0;
  int longest_context_ = 0;
};

// Tokens of the sequences of a pass that are not causal.
int num_scratch_tokens(const ForwardBatch& pass);

} // namespace tinychat::cuda
