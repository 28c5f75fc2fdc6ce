// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// ForwardBatch as Python builds it: sequences are added one by one, and every array that one points into stays alive.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <vector>

#include "decoder/decoder.h"
#include "decoder/forward_batch.h"

namespace tinychat {

using Mask = std::optional<pybind11::array_t<uint32_t, pybind11::array::c_style>>;

// A bit a token of the vocabulary for each of `rows` rows, or None. ValueError where there are too few.
Mask mask_of(const pybind11::object& bits, int vocab, int rows = 1);

// The log probability, and a list of (token, log probability) of the most likely ones.
pybind11::tuple tuple_of(const DrawnLogprobs& logprobs);

// What PyBatch::run() found, in the order in which it was asked for.
struct ForwardResult {
  pybind11::array_t<float> logits; // [rows][vocab]
  pybind11::list top_k;            // of (ids int32 [k], logits float32 [k])
  pybind11::list drawn;            // of (ids, error)
  pybind11::array_t<float> hidden; // [rows][hidden_size]
};

class PyBatch {
 public:
  // Throws InvalidBatch for arrays of another shape or type; what depends on the model, run() checks.
  void add_sequence(const pybind11::object& tokens, KvCache* cache, const pybind11::object& embeddings,
                    const pybind11::object& positions, const std::vector<std::pair<int, int>>& bidirectional,
                    const pybind11::object& logits, const pybind11::list& top_k, Sampler* sampler,
                    const pybind11::object& allowed, int guesses, const pybind11::object& hidden);
  pybind11::list caches() const;
  int num_tokens() const { return batch_.num_tokens(); }
  int num_sequences() const { return static_cast<int>(batch_.sequences.size()); }

  // Throws what Decoder::sample() throws.
  ForwardResult run(Decoder& decoder, const CancelFlag* cancel) const;

 private:
  struct TopK {
    int token;
    int k;
    float penalty;
    pybind11::object seen, allowed;
  };
  struct Draw {
    int token;
    Sampler* sampler;
    int guesses;
    pybind11::object allowed;
  };

  void add_inputs(const pybind11::object& tokens, const pybind11::object& embeddings);
  void add_positions(const pybind11::object& positions, int begin);
  std::vector<int> tokens_named(const pybind11::object& which, const char* what, int begin) const;

  ForwardBatch batch_; // without outputs
  std::vector<int> logits_tokens_, hidden_tokens_;
  std::vector<TopK> top_k_;
  std::vector<Draw> draws_;
  std::vector<pybind11::object> kept_alive_;
};

void bind_batch(pybind11::module_& m);

} // namespace tinychat
