// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The one value that Decoder::forward() and every step of a backend get: the tokens of several sequences, and what is
// wanted of them. One text prompt is a batch of one sequence.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "decoder/kv_cache.h"

namespace tinychat {

// A batch that cannot be computed: nothing has been, and no cache has changed.
struct InvalidBatch : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

struct Candidate {
  float logit;
  int32_t token;
};

// A request for the k likeliest tokens of a row of logits instead of the row: after the repetition penalty and the mask.
struct TopKRequest {
  int k = 1;                         // 1 … vocab_size
  float penalty = 1;                 // repetition penalty of the tokens in `seen`
  const uint32_t* seen = nullptr;    // a bit a token (bit i%32 of word i/32); null: none
  const uint32_t* allowed = nullptr; // a bit for each token that may come; null: every token may
  // The answer: likelier first, then the lower id; fewer than k where fewer are allowed. A NaN among the logits is the
  // only candidate then.
  std::vector<Candidate> found = {};
};

// The position that rotary and learned positions turn into numbers: of text one number, three times; of M-RoPE (Qwen2-VL,
// Wang et al., 2024) time, height and width.
using Position = std::array<int32_t, 3>;

// Tokens begin … end - 1 of a batch.
struct TokenRange {
  int begin = 0;
  int end = 0;

  int size() const { return end - begin; }
};

// Tokens of the batch that attend to each other. A token's slot is its index in the sequence, cached tokens included:
// who sees whom is decided by slots, not by positions.
struct Sequence {
  TokenRange tokens;
  KvCache* cache = nullptr; // causal: the tokens are appended to it. Not causal: null, nothing is kept
  bool causal = true;       // a token sees those before it and itself; otherwise every token of the sequence (encoders)
  // In a causal sequence, spans of tokens that also see each other both ways (Gemma 3's images): in order, disjoint.
  std::vector<TokenRange> bidirectional = {};

  int first_slot() const { return cache == nullptr ? 0 : cache->length(); } // of tokens.begin
};

// What is wanted of a token: logits, or the likeliest tokens, or both.
struct OutputRequest {
  int token = 0;                // index in the batch
  float* logits = nullptr;      // [vocab_size], or null
  TopKRequest* top_k = nullptr; // or null
};

struct ForwardBatch {
  static constexpr int32_t kEmbedding = -1; // in `tokens`: the input is a row of an embedding
  static constexpr Position kAtSlot = {-1, -1, -1};

  std::vector<int32_t> tokens; // [num_tokens] ids, or kEmbedding
  // [num_tokens] rows of `embedding_width` numbers, null where the token has an id; empty where every token has one. A row
  // takes the place of the embedding's row, its scale (Gemma) included.
  std::vector<const float*> embeddings;
  int embedding_width = 0;
  // [num_tokens]; kAtSlot: the token's slot. Empty: every token's slot. A backend gets all of them as numbers.
  std::vector<Position> positions;
  std::vector<Sequence> sequences;    // their ranges are all tokens of the batch, in order
  std::vector<OutputRequest> outputs; // in order of their tokens, no token twice

  int num_tokens() const { return static_cast<int>(tokens.size()); }
  int num_outputs() const { return static_cast<int>(outputs.size()); }
  const float* embedding(int token) const { return embeddings.empty() ? nullptr : embeddings[token]; }
};

} // namespace tinychat
