// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The input of Decoder::forward() and of every step of a backend: the tokens of several sequences, and the requested
// outputs. A single text prompt is a batch of one sequence.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "decoder/kv_cache.h"

namespace tinychat {

// The batch cannot be computed. Nothing was computed, and no cache has changed.
struct InvalidBatch : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

struct Candidate {
  float logit;
  int32_t token;
};

// A request for the k most likely tokens of a row of logits, after the repetition penalty and the mask.
struct TopKRequest {
  int k = 1;                         // 1 … vocab_size
  float penalty = 1;                 // repetition penalty of the tokens in `seen`
  const uint32_t* seen = nullptr;    // one bit per token (bit i%32 of word i/32); null: none
  const uint32_t* allowed = nullptr; // one bit per allowed token; null: all tokens are allowed
  // The answer: the most likely first, equal ones by id; fewer than k if fewer are allowed. If a logit is NaN, it is the
  // only candidate.
  std::vector<Candidate> found = {};
};

// Tokens begin … end - 1 of a batch.
struct TokenRange {
  int begin = 0;
  int end = 0;

  int size() const { return end - begin; }
};

// Tokens of the batch that attend to each other. A token's slot is its index in the sequence, cached tokens included.
// Attention masks depend on slots, not on positions.
struct Sequence {
  TokenRange tokens;
  KvCache* cache = nullptr; // causal: the tokens are appended to it; not causal: null, nothing is kept
  bool causal = true;       // a token attends to itself and earlier tokens; otherwise to the whole sequence (encoders)
  // Spans of tokens that see each other both ways; in order, disjoint. In a causal sequence they see the tokens before the
  // span as well (Gemma 3's images). In one that is not causal they cover the sequence, and in layers with the window
  // kOwnSpan a token sees nothing else (the windows of Qwen2.5-VL's encoder).
  std::vector<TokenRange> bidirectional = {};

  int first_slot() const { return cache == nullptr ? 0 : cache->length(); }                           // of tokens.begin
  int first_position() const { return cache == nullptr ? 0 : cache->next_position(cache->length()); } // if it is kNext
};

// The requested outputs of a token: at least one.
struct OutputRequest {
  int token = 0;                // index in the batch
  float* logits = nullptr;      // [vocab_size], or null
  TopKRequest* top_k = nullptr; // or null
  float* hidden = nullptr;      // [hidden_size], the residual after the final norm, or null
};

struct ForwardBatch {
  static constexpr int32_t kEmbedding = -1; // in `tokens`: the input is an embedding row
  static constexpr Position kNext = {-1, -1, -1};

  std::vector<int32_t> tokens; // [num_tokens] ids, or kEmbedding
  // [num_tokens] rows of `embedding_width` numbers; null for a token with an id. Empty if every token has an id. A row
  // begins with what replaces the row of the model's embedding after scaling (Gemma). Behind that it has
  // ModelConfig::deepstack_layers parts of `hidden_size` numbers: part i is added to the residual after layer i.
  std::vector<const float*> embeddings;
  int embedding_width = 0;
  // [num_tokens]; kNext: the position after the largest one before it in its sequence, cached tokens included. Empty: kNext
  // for every token. A backend always gets numbers.
  std::vector<Position> positions;
  std::vector<Sequence> sequences;    // their ranges cover all tokens of the batch, in order
  std::vector<OutputRequest> outputs; // in the order of their tokens, each token at most once

  int num_tokens() const { return static_cast<int>(tokens.size()); }
  int num_outputs() const { return static_cast<int>(outputs.size()); }
  const float* embedding(int token) const { return embeddings.empty() ? nullptr : embeddings[token]; }
};

} // namespace tinychat
