// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/passes.h"

#include <algorithm>
#include <string>

namespace tinychat {
namespace {

void check_uncut(int tokens, const char* what, const Backend& backend) {
  if (tokens > backend.max_uncut_tokens())
    throw InvalidBatch(std::string(what) + " of " + std::to_string(tokens) +
                       " tokens cannot be computed in parts, and only " + std::to_string(backend.max_uncut_tokens()) +
                       " fit at once");
}

// Where the part of a sequence that begins at `begin` ends.
int end_of_part(const Sequence& sequence, int begin, const Backend& backend) {
  const int last = sequence.tokens.end;
  if (!sequence.causal) {
    check_uncut(sequence.tokens.size(), "a sequence that is not causal,", backend);
    return last;
  }
  const int end = std::min(last, begin + backend.max_sequence_tokens());
  for (const TokenRange& span : sequence.bidirectional) {
    if (span.begin >= end || span.end <= end) continue;
    if (span.begin > begin) return span.begin;
    check_uncut(span.size(), "a bidirectional span", backend);
    return span.end;
  }
  return end;
}

struct Part {
  const Sequence* sequence;
  TokenRange tokens; // of the batch
};

// The next parts of all sequences that have room in one pass; `next`: the first token of each that is in no pass yet.
std::vector<Part> take_parts(const ForwardBatch& batch, std::vector<int>& next, const Backend& backend) {
  std::vector<Part> parts;
  int tokens = 0;
  for (size_t i = 0; i < next.size(); ++i) {
    const Sequence& sequence = batch.sequences[i];
    if (next[i] == sequence.tokens.end) continue;
    const int end = end_of_part(sequence, next[i], backend), count = end - next[i];
    if (tokens > 0 && tokens + count > backend.max_tokens()) continue;
    parts.push_back({&sequence, {next[i], end}});
    tokens += count;
    next[i] = end;
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.tokens.size() < b.tokens.size(); });
  return parts;
}

// A position for every token: where the batch has kNext, the one after the largest before it in its sequence.
std::vector<Position> positions_of(const ForwardBatch& batch, int context_length) {
  std::vector<Position> positions = batch.positions;
  positions.resize(batch.num_tokens(), ForwardBatch::kNext);
  for (const Sequence& sequence : batch.sequences) {
    int next = sequence.first_position();
    for (int i = sequence.tokens.begin; i < sequence.tokens.end; ++i) {
      Position& position = positions[i];
      if (position == ForwardBatch::kNext) position = {next, next, next};
      next = position_after(next, position);
      if (next > context_length)
        throw InvalidBatch("position " + std::to_string(next - 1) + " is outside the context of " +
                           std::to_string(context_length));
    }
  }
  return positions;
}

void append_part(const ForwardBatch& batch, const std::vector<Position>& positions, const Part& part,
                 ForwardBatch& pass) {
  const int begin = pass.num_tokens(), moved = begin - part.tokens.begin;
  Sequence sequence = {{begin, begin + part.tokens.size()}, part.sequence->cache, part.sequence->causal};
  for (const TokenRange& span : part.sequence->bidirectional)
    if (span.begin >= part.tokens.begin && span.end <= part.tokens.end)
      sequence.bidirectional.push_back({span.begin + moved, span.end + moved});
  pass.sequences.push_back(std::move(sequence));
  for (int i = part.tokens.begin; i < part.tokens.end; ++i) {
    pass.tokens.push_back(batch.tokens[i]);
    if (!batch.embeddings.empty()) pass.embeddings.push_back(batch.embeddings[i]);
    pass.positions.push_back(positions[i]);
  }
  const auto before = [](const OutputRequest& output, int token) { return output.token < token; };
  auto output = std::lower_bound(batch.outputs.begin(), batch.outputs.end(), part.tokens.begin, before);
  for (; output != batch.outputs.end() && output->token < part.tokens.end; ++output)
    pass.outputs.push_back({output->token + moved, output->logits, output->top_k, output->hidden});
}

} // namespace

std::vector<ForwardBatch> cut_into_passes(const ForwardBatch& batch, const Backend& backend, int context_length) {
  const std::vector<Position> positions = positions_of(batch, context_length);
  std::vector<int> next;
  for (const Sequence& sequence : batch.sequences) next.push_back(sequence.tokens.begin);
  std::vector<ForwardBatch> passes;
  for (;;) {
    const std::vector<Part> parts = take_parts(batch, next, backend);
    if (parts.empty()) return passes;
    ForwardBatch& pass = passes.emplace_back();
    pass.embedding_width = batch.embedding_width;
    for (const Part& part : parts) append_part(batch, positions, part, pass);
  }
}

ForwardBatch outputs_of(const ForwardBatch& pass) {
  ForwardBatch rest;
  rest.embedding_width = pass.embedding_width;
  for (const OutputRequest& output : pass.outputs) {
    const int row = rest.num_tokens();
    rest.tokens.push_back(pass.tokens[output.token]);
    if (!pass.embeddings.empty()) rest.embeddings.push_back(pass.embeddings[output.token]);
    rest.positions.push_back(pass.positions[output.token]);
    rest.outputs.push_back({row, output.logits, output.top_k, output.hidden});
  }
  int row = 0;
  for (const Sequence& sequence : pass.sequences) {
    const int begin = row;
    while (row < pass.num_outputs() && pass.outputs[row].token < sequence.tokens.end) ++row;
    if (row > begin) rest.sequences.push_back({{begin, row}, sequence.cache, sequence.causal});
  }
  return rest;
}

} // namespace tinychat
