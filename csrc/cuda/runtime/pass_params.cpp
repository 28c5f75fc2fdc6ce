// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cuda/runtime/pass_params.h"

#include <algorithm>

#include "cuda/attention/attention.h"
#include "cuda/runtime/kv_cache.h"

namespace tinychat::cuda {
namespace {

static_assert(alignof(OutputParams) <= alignof(TokenParams) && alignof(QueryBlock) <= alignof(TokenParams));

size_t aligned(size_t bytes) {
  return (bytes + alignof(TokenParams) - 1) / alignof(TokenParams) * alignof(TokenParams);
}

bool has_output(const ForwardBatch& pass, int begin, int end) {
  return std::any_of(pass.outputs.begin(), pass.outputs.end(),
                     [&](const OutputRequest& output) { return output.token >= begin && output.token < end; });
}

} // namespace

int num_scratch_tokens(const ForwardBatch& pass) {
  int tokens = 0;
  for (const Sequence& sequence : pass.sequences)
    if (!sequence.causal) tokens += sequence.tokens.size();
  return tokens;
}

PassParams::PassParams(int max_tokens) {
  // A sequence with more than kFewTokens tokens has at most one query block that is not full.
  const size_t tokens = max_tokens, blocks = tokens / (kFewTokens + 1) + tokens / kPrefillQueries + 1;
  const size_t bytes = aligned(tokens * sizeof(TokenParams)) + aligned(tokens * sizeof(OutputParams)) +
                       blocks * sizeof(QueryBlock);
  host_ = pinned_array<uint8_t>(bytes);
  device_ = device_array<uint8_t>(bytes, "the decoder's buffers");
}

void PassParams::set(const ForwardBatch& pass, const ScratchCache& scratch) {
  outputs_at_ = aligned(pass.num_tokens() * sizeof(TokenParams));
  blocks_at_ = outputs_at_ + aligned(pass.num_outputs() * sizeof(OutputParams));
  set_tokens(pass, scratch);
  set_outputs(pass);
  set_query_blocks(pass);
  size_ = blocks_at_ + num_query_blocks_ * sizeof(QueryBlock);
}

void PassParams::set_tokens(const ForwardBatch& pass, const ScratchCache& scratch) {
  auto* params = reinterpret_cast<TokenParams*>(host_.get());
  int scratch_slot = 0;
  longest_context_ = 0;
  for (const Sequence& sequence : pass.sequences) {
    TokenParams token = {};
    int slot;
    if (sequence.causal) {
      auto& cache = static_cast<CudaKvCache&>(*sequence.cache);
      token.cache = cache.memory();
      token.capacity = cache.capacity();
      token.is_cached = 1;
      slot = cache.length();
    } else {
      token.cache = scratch.memory;
      token.capacity = scratch.capacity;
      token.first_slot = slot = scratch_slot;
      scratch_slot += sequence.tokens.size();
    }
    const int end = slot + sequence.tokens.size();
    for (int i = sequence.tokens.begin; i < sequence.tokens.end; ++i, ++slot) {
      token.id = pass.tokens[i];
      std::copy(pass.positions[i].begin(), pass.positions[i].end(), token.position);
      token.slot = token.span_begin = slot;
      token.span_end = slot + 1;
      token.end_slot = sequence.causal ? slot + 1 : end;
      for (const TokenRange& span : sequence.bidirectional) {
        if (i < span.begin || i >= span.end) continue;
        token.span_begin = slot - (i - span.begin);
        token.span_end = slot + (span.end - i);
      }
      params[i] = token;
      if (sequence.tokens.size() <= kFewTokens)
        longest_context_ = std::max(longest_context_, std::max(token.end_slot, token.span_end) - token.first_slot);
    }
  }
}

void PassParams::set_outputs(const ForwardBatch& pass) {
  auto* params = reinterpret_cast<OutputParams*>(host_.get() + outputs_at_);
  for (const OutputRequest& output : pass.outputs) {
    const TopKRequest* top_k = output.top_k;
    *params++ = top_k == nullptr ? OutputParams{output.token, 0, 1, false, false}
                                 : OutputParams{output.token, top_k->k, top_k->penalty, top_k->seen != nullptr,
                                                top_k->allowed != nullptr};
  }
}

// Blocks with outputs first, among them those that see most slots: they take longest.
void PassParams::set_query_blocks(const ForwardBatch& pass) {
  const auto* params = reinterpret_cast<const TokenParams*>(host_.get());
  auto* const blocks = reinterpret_cast<QueryBlock*>(host_.get() + blocks_at_);
  num_decode_tokens_ = num_query_blocks_ = 0;
  for (const Sequence& sequence : pass.sequences) {
    if (sequence.tokens.size() <= kFewTokens) {
      num_decode_tokens_ = sequence.tokens.end; // sequences with fewer tokens come first
      continue;
    }
    for (int begin = sequence.tokens.begin; begin < sequence.tokens.end; begin += kPrefillQueries) {
      const int end = std::min(begin + kPrefillQueries, sequence.tokens.end);
      QueryBlock block = {begin, end - begin, params[begin].span_begin, 0};
      for (int i = begin; i < end; ++i) {
        block.span_begin = std::min(block.span_begin, params[i].span_begin);
        block.end_slot = std::max({block.end_slot, params[i].end_slot, params[i].span_end});
      }
      blocks[num_query_blocks_++] = block;
    }
  }
  const auto has_outputs = [&](const QueryBlock& block) {
    return has_output(pass, block.first_token, block.first_token + block.num_tokens);
  };
  QueryBlock* const end = blocks + num_query_blocks_;
  QueryBlock* const others = std::stable_partition(blocks, end, has_outputs);
  const auto longer = [](const QueryBlock& a, const QueryBlock& b) { return a.end_slot > b.end_slot; };
  std::stable_sort(blocks, others, longer);
  std::stable_sort(others, end, longer);
  num_query_blocks_with_outputs_ = static_cast<int>(others - blocks);
  num_decode_tokens_with_outputs_ = has_output(pass, 0, num_decode_tokens_) ? num_decode_tokens_ : 0;
}

void PassParams::copy(cudaStream_t stream) const {
  check(cudaMemcpyAsync(device_.get(), host_.get(), size_, cudaMemcpyHostToDevice, stream), "a pass");
}

} // namespace tinychat::cuda
