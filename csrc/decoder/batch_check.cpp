// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/batch_check.h"

#include <cmath>
#include <set>
#include <string>

namespace tinychat {
namespace {

std::string of(int number) { return std::to_string(number); }

void require(bool is_right, const std::string& what) {
  if (!is_right) throw InvalidBatch(what);
}

void check_inputs(const ForwardBatch& batch, const ModelConfig& config) {
  const int tokens = batch.num_tokens(), vocab = config.vocab_size;
  require(
      batch.embeddings.empty() || static_cast<int>(batch.embeddings.size()) == tokens,
      "a batch has embeddings for " + of(static_cast<int>(batch.embeddings.size())) + " of " + of(tokens) + " tokens");
  for (int i = 0; i < tokens; ++i) {
    const int id = batch.tokens[i];
    if (batch.embedding(i) == nullptr) {
      require(!config.encoder, "an encoder has no vocabulary: its inputs are embeddings");
      if (id < 0 || id >= vocab) throw InvalidBatch("token " + of(id) + " is outside the vocabulary of " + of(vocab));
      continue;
    }
    require(id == ForwardBatch::kEmbedding, "a token has both an id and an embedding");
    require(batch.embedding_width == config.input_width(), "an embedding has " + of(batch.embedding_width) +
                                                               " numbers, and the model's embeddings have " +
                                                               of(config.input_width()));
  }
}

void check_positions(const ForwardBatch& batch, const Model& model) {
  if (batch.positions.empty()) return;
  require(static_cast<int>(batch.positions.size()) == batch.num_tokens(), "a batch needs one position a token");
  for (const Position& position : batch.positions) {
    if (position == ForwardBatch::kNext) continue;
    for (const int axis : position)
      if (axis < 0 || axis >= model.context_length)
        throw InvalidBatch("position " + of(axis) + " is outside the context of " + of(model.context_length));
    require(!model.config.rope_axes.empty() || (position[0] == position[1] && position[0] == position[2]),
            "the model's positions have one axis, not three");
  }
}

void check_spans(const Sequence& sequence) {
  int end = sequence.tokens.begin;
  for (const TokenRange& span : sequence.bidirectional) {
    require(span.begin >= end && span.end > span.begin && span.end <= sequence.tokens.end,
            "the bidirectional spans of a sequence are not in order, or outside its tokens");
    end = span.end;
  }
}

// Where layers see own spans alone, every token needs one.
void check_own_spans(const Sequence& sequence) {
  check_spans(sequence);
  int covered = 0;
  for (const TokenRange& span : sequence.bidirectional) covered += span.size();
  require(covered == sequence.tokens.size(), "the spans of a sequence do not have all of its tokens");
}

void check_sequences(const ForwardBatch& batch, const Model& model, uint64_t decoder_id) {
  const int context_length = model.context_length;
  const bool has_own_spans = model.config.has_own_spans();
  int begin = 0;
  std::set<const KvCache*> caches;
  for (const Sequence& sequence : batch.sequences) {
    require(sequence.tokens.begin == begin && sequence.tokens.size() > 0,
            "the sequences of a batch do not follow each other");
    begin = sequence.tokens.end;
    if (sequence.causal) {
      require(sequence.cache != nullptr, "a causal sequence needs a KV cache");
      require(sequence.cache->decoder_id() == decoder_id, "the KV cache belongs to another engine");
      require(caches.insert(sequence.cache).second, "two sequences of a batch have the same KV cache");
      require(!has_own_spans, "the model's sequences are not causal");
      check_spans(sequence);
    } else {
      require(sequence.cache == nullptr, "a sequence that is not causal has no KV cache");
      require(has_own_spans || sequence.bidirectional.empty(), "only a causal sequence has bidirectional spans");
      if (has_own_spans) check_own_spans(sequence);
      require(sequence.tokens.size() <= context_length, "a sequence of " + of(sequence.tokens.size()) +
                                                            " tokens is longer than the context of " +
                                                            of(context_length));
    }
  }
  require(begin == batch.num_tokens(), "the sequences of a batch do not have all of its tokens");
}

void check_outputs(const ForwardBatch& batch, int vocab) {
  int next = 0;
  for (const OutputRequest& output : batch.outputs) {
    require(output.token >= next && output.token < batch.num_tokens(),
            "an output is wanted of token " + of(output.token) + ", which is out of order or outside the batch of " +
                of(batch.num_tokens()));
    next = output.token + 1;
    require(output.logits != nullptr || output.top_k != nullptr || output.hidden != nullptr,
            "an output asks for nothing");
    if (output.top_k == nullptr) continue;
    require(output.top_k->k >= 1 && output.top_k->k <= vocab,
            "k = " + of(output.top_k->k) + " is not in 1 … " + of(vocab) + " of the vocabulary");
    require(std::isfinite(output.top_k->penalty) && output.top_k->penalty > 0,
            "the repetition penalty is not a positive number");
  }
}

} // namespace

void check_batch(const ForwardBatch& batch, const Model& model, uint64_t decoder_id) {
  require(batch.num_tokens() > 0, "no tokens to decode");
  check_inputs(batch, model.config);
  check_positions(batch, model);
  check_sequences(batch, model, decoder_id);
  check_outputs(batch, model.config.vocab_size);
}

void check_room(const ForwardBatch& batch) {
  for (const Sequence& sequence : batch.sequences) {
    if (sequence.cache == nullptr) continue;
    const int capacity = sequence.cache->capacity(), length = sequence.cache->length();
    if (sequence.tokens.size() > capacity - length)
      throw InvalidBatch("the KV cache holds " + of(capacity) + " positions, " + of(length) +
                         " of them used: no room for " + of(sequence.tokens.size()) + " more");
  }
}

} // namespace tinychat
