// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "bindings_batch.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>

namespace py = pybind11;
using namespace py::literals;

namespace tinychat {
namespace {

using Integers = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;
using Floats = py::array_t<float, py::array::c_style>;

// Whole numbers of any type; floats would lose their fractions without a word. An empty list is an array of floats.
Integers integers_of(const py::object& numbers, const char* what) {
  const py::array array = py::array::ensure(numbers);
  const char kind = array ? array.dtype().kind() : ' ';
  if (!array || (array.size() > 0 && kind != 'i' && kind != 'u'))
    throw InvalidBatch(std::string(what) + " must be whole numbers");
  return Integers::ensure(array);
}

int32_t int32_of(int64_t number, const std::string& what) {
  if (number < std::numeric_limits<int32_t>::min() || number > std::numeric_limits<int32_t>::max())
    throw InvalidBatch(what + " " + std::to_string(number) + " is out of range");
  return static_cast<int32_t>(number);
}

const uint32_t* bits_of(const Mask& mask) { return mask ? mask->data() : nullptr; }

} // namespace

Mask mask_of(const py::object& bits, int vocab, int rows) {
  if (bits.is_none()) return std::nullopt;
  const auto mask = Mask::value_type::ensure(bits);
  if (!mask) throw InvalidBatch("a mask must be uint32");
  if (rows > 1 && (mask.ndim() != 2 || mask.shape(0) != rows))
    throw InvalidBatch("guesses need a mask for each token that may be drawn");
  if (mask.size() / rows * 32 < vocab) throw InvalidBatch("the mask has fewer bits than the vocabulary tokens");
  return mask;
}

py::tuple tuple_of(const DrawnLogprobs& logprobs) {
  py::list top;
  for (const Candidate& candidate : logprobs.top) top.append(py::make_tuple(candidate.token, candidate.logit));
  return py::make_tuple(logprobs.logprob, top);
}

void PyBatch::add_sequence(const py::object& tokens, KvCache* cache, const py::object& embeddings,
                           const py::object& positions, const std::vector<std::pair<int, int>>& bidirectional,
                           const py::object& logits, const py::list& top_k, Sampler* sampler, const py::object& allowed,
                           int guesses, const py::object& hidden) {
  PyBatch made = *this; // an error leaves the batch as it was
  const int begin = num_tokens();
  made.add_inputs(tokens, embeddings);
  const int end = made.num_tokens();
  if (end == begin) throw InvalidBatch("no tokens to decode");
  made.add_positions(positions, begin);
  Sequence sequence = {{begin, end}, cache, cache != nullptr};
  // What is outside the sequence stays outside, without an overflow: the check of the batch refuses it.
  const auto in_batch = [&](int token) { return begin + std::clamp(token, -1, end - begin + 1); };
  for (const auto& [first, last] : bidirectional) sequence.bidirectional.push_back({in_batch(first), in_batch(last)});
  made.batch_.sequences.push_back(std::move(sequence));
  const auto add = [](std::vector<int>& to, const std::vector<int>& more) {
    to.insert(to.end(), more.begin(), more.end());
  };
  add(made.logits_tokens_, made.tokens_named(logits, "logits", begin));
  add(made.hidden_tokens_, made.tokens_named(hidden, "hidden states", begin));
  for (const py::handle& item : top_k) {
    const auto [token, k, penalty, seen, mask] = item.cast<std::tuple<int, int, float, py::object, py::object>>();
    if (token < 0 || token >= end - begin)
      throw InvalidBatch("top_k of token " + std::to_string(token) + ", which the sequence does not have");
    made.top_k_.push_back({begin + token, k, penalty, seen, mask});
  }
  if (sampler == nullptr && (!allowed.is_none() || guesses != 0))
    throw InvalidBatch("`allowed` and `guesses` are for a sampler, and there is none");
  if (guesses < 0 || guesses >= end - begin) throw InvalidBatch("there must be a token before the guesses");
  if (sampler != nullptr) made.draws_.push_back({end - 1 - guesses, sampler, guesses, allowed});
  *this = std::move(made);
}

py::list PyBatch::caches() const {
  py::list caches;
  for (const Sequence& sequence : batch_.sequences)
    if (sequence.cache != nullptr) caches.append(py::cast(sequence.cache, py::return_value_policy::reference));
  return caches;
}

void PyBatch::add_inputs(const py::object& tokens, const py::object& embeddings) {
  const Integers ids = integers_of(tokens, "tokens");
  if (ids.ndim() != 1) throw InvalidBatch("tokens must be one row of ids");
  py::ssize_t rows = 0, next = 0;
  const float* row = nullptr;
  if (!embeddings.is_none()) {
    const auto array = Floats::ensure(embeddings);
    if (!array || array.ndim() != 2) throw InvalidBatch("embeddings must be float32 [rows, width]");
    const auto width = static_cast<int>(array.shape(1));
    if (batch_.embedding_width != 0 && batch_.embedding_width != width)
      throw InvalidBatch("the embeddings of a batch have different widths");
    batch_.embedding_width = width;
    batch_.embeddings.resize(batch_.tokens.size());
    rows = array.shape(0);
    row = array.data();
    kept_alive_.push_back(array);
  }
  const bool has_rows = !embeddings.is_none() || !batch_.embeddings.empty();
  for (py::ssize_t i = 0; i < ids.size(); ++i) {
    const int32_t id = int32_of(ids.at(i), "token");
    const bool is_row = id == ForwardBatch::kEmbedding;
    batch_.tokens.push_back(id);
    if (has_rows) batch_.embeddings.push_back(is_row && next < rows ? row + next * batch_.embedding_width : nullptr);
    next += is_row ? 1 : 0;
  }
  if (!embeddings.is_none() && next != rows)
    throw InvalidBatch(std::to_string(rows) + " embeddings for " + std::to_string(next) + " tokens of -1");
}

void PyBatch::add_positions(const py::object& positions, int begin) {
  if (positions.is_none()) {
    if (!batch_.positions.empty()) batch_.positions.resize(num_tokens(), ForwardBatch::kNext);
    return;
  }
  const Integers numbers = integers_of(positions, "positions");
  const bool one = numbers.ndim() == 1, three = numbers.ndim() == 2 && numbers.shape(1) == 3;
  if ((!one && !three) || numbers.shape(0) != num_tokens() - begin)
    throw InvalidBatch("positions must be whole numbers [tokens] or [tokens, 3]");
  batch_.positions.resize(begin, ForwardBatch::kNext);
  for (py::ssize_t i = 0; i < numbers.shape(0); ++i) {
    Position position;
    for (int axis = 0; axis < 3; ++axis) {
      position[axis] = int32_of(one ? numbers.at(i) : numbers.at(i, axis), "position");
      if (position[axis] < 0) throw InvalidBatch("position " + std::to_string(position[axis]) + " is negative");
    }
    batch_.positions.push_back(position);
  }
}

// Tokens of the last sequence, which begins at `begin`, as indices of the batch.
std::vector<int> PyBatch::tokens_named(const py::object& which, const char* what, int begin) const {
  const int count = num_tokens() - begin;
  std::vector<int> named;
  const auto add = [&](int64_t token) {
    if (token < 0 || token >= count)
      throw InvalidBatch(std::string(what) + " of token " + std::to_string(token) +
                         ", which the sequence does not have");
    named.push_back(begin + static_cast<int>(token));
  };
  if (!py::isinstance<py::str>(which)) {
    const Integers tokens = integers_of(which, what);
    if (tokens.ndim() != 1)
      throw InvalidBatch(std::string(what) + " must be 'none', 'last', 'all' or indices of tokens");
    for (py::ssize_t i = 0; i < tokens.size(); ++i) add(tokens.at(i));
    return named;
  }
  const auto name = which.cast<std::string>();
  if (name == "last") add(count - 1);
  else if (name == "all")
    for (int i = 0; i < count; ++i) add(i);
  else if (name != "none") throw InvalidBatch("unknown " + std::string(what) + " '" + name + "'");
  return named;
}

ForwardResult PyBatch::run(Decoder& decoder, const CancelFlag* cancel) const {
  const int vocab = decoder.config().vocab_size;
  ForwardResult result;
  result.logits = py::array_t<float>(
      {static_cast<py::ssize_t>(logits_tokens_.size()), static_cast<py::ssize_t>(vocab)});
  const py::ssize_t hidden_size = decoder.config().hidden_size;
  result.hidden = py::array_t<float>({static_cast<py::ssize_t>(hidden_tokens_.size()), hidden_size});
  std::vector<TopKRequest> requests(top_k_.size());
  std::vector<Mask> masks;
  std::map<int, OutputRequest> outputs; // by token
  const auto output_of = [&](int token) -> OutputRequest& {
    return outputs.try_emplace(token, OutputRequest{token}).first->second;
  };
  for (size_t i = 0; i < logits_tokens_.size(); ++i) {
    OutputRequest& output = output_of(logits_tokens_[i]);
    if (output.logits != nullptr) throw InvalidBatch("the logits of a token are wanted twice");
    output.logits = result.logits.mutable_data() + i * static_cast<size_t>(vocab);
  }
  for (size_t i = 0; i < hidden_tokens_.size(); ++i) {
    OutputRequest& output = output_of(hidden_tokens_[i]);
    if (output.hidden != nullptr) throw InvalidBatch("the hidden states of a token are wanted twice");
    output.hidden = result.hidden.mutable_data() + i * static_cast<size_t>(hidden_size);
  }
  for (size_t i = 0; i < top_k_.size(); ++i) {
    const TopK& wanted = top_k_[i];
    masks.push_back(mask_of(wanted.seen, vocab));
    const uint32_t* seen = bits_of(masks.back());
    masks.push_back(mask_of(wanted.allowed, vocab));
    requests[i] = {wanted.k, wanted.penalty, seen, bits_of(masks.back())};
    OutputRequest& output = output_of(wanted.token);
    if (output.top_k != nullptr) throw InvalidBatch("the likeliest tokens of a token are wanted twice");
    output.top_k = &requests[i];
  }
  std::vector<DrawRequest> draws;
  for (const Draw& draw : draws_) {
    masks.push_back(mask_of(draw.allowed, vocab, draw.guesses + 1));
    const size_t words = masks.back() ? masks.back()->size() / (draw.guesses + 1) : 0;
    draws.push_back({draw.token, draw.sampler, draw.guesses, bits_of(masks.back()), words});
  }
  ForwardBatch batch = batch_;
  for (const auto& [token, output] : outputs) batch.outputs.push_back(output);
  std::vector<Drawn> drawn;
  {
    const py::gil_scoped_release release;
    drawn = decoder.sample(std::move(batch), draws, cancel);
  }
  for (const Drawn& draw : drawn) {
    py::list logprobs;
    for (const DrawnLogprobs& of_token : draw.logprobs) logprobs.append(tuple_of(of_token));
    result.drawn.append(py::make_tuple(draw.tokens, draw.error, logprobs));
  }
  for (const TopKRequest& request : requests) {
    const auto count = static_cast<py::ssize_t>(request.found.size());
    py::array_t<int32_t> ids(count);
    py::array_t<float> logits(count);
    for (py::ssize_t i = 0; i < count; ++i) {
      ids.mutable_at(i) = request.found[i].token;
      logits.mutable_at(i) = request.found[i].logit;
    }
    result.top_k.append(py::make_tuple(ids, logits));
  }
  return result;
}

void bind_batch(py::module_& m) {
  py::register_exception<InvalidBatch>(m, "InvalidBatchError", PyExc_ValueError);
  py::class_<ForwardResult>(m, "ForwardResult", "What a forward pass found, in the order in which it was asked for.")
      .def_readonly("logits", &ForwardResult::logits, "float32 [rows, vocab].")
      .def_readonly("top_k", &ForwardResult::top_k, "A list of (ids int32 [k], logits float32 [k]).")
      .def_readonly(
          "drawn", &ForwardResult::drawn,
          "A list of (ids, error, logprobs), one for each sampler: the tokens that it drew, why it drew no more, or "
          "'', "
          "and Sampler.logprobs of each token, if it records them. The sampler has accepted all of them but the last.")
      .def_readonly("hidden", &ForwardResult::hidden, "float32 [rows, hidden_size].");
  py::class_<PyBatch>(m, "ForwardBatch",
                      "The tokens of several sequences, and what is wanted of them. One text prompt is a batch of one "
                      "sequence.\n\nA sequence's numbers are the same alone and beside others.")
      .def(py::init<>())
      .def(
          "add_sequence", &PyBatch::add_sequence, "tokens"_a, "cache"_a = nullptr, py::kw_only(),
          "embeddings"_a = py::none(), "positions"_a = py::none(),
          "bidirectional"_a = std::vector<std::pair<int, int>>(), "logits"_a = "none", "top_k"_a = py::list(),
          "sampler"_a = nullptr, "allowed"_a = py::none(), "guesses"_a = 0, "hidden"_a = "none", py::keep_alive<1, 3>(),
          py::keep_alive<1, 9>(),
          "Add a sequence.\n\n"
          "`tokens` [n]: ids, or -1 for the next row of `embeddings` float32 [rows, width], which takes the place of "
          "the embedding's row, its scale included, and may have parts for the first layers behind that (DeepStack). "
          "`cache`: the tokens are appended to it, and each sees those before "
          "it; None: nothing is kept, and every token sees every other (encoders). `positions` [n], or [n, 3] for "
          "M-RoPE: None: those after the largest one before. `bidirectional`: (begin, end) of spans of tokens that "
          "also "
          "see each other both ways; without a cache, those that a layer with windows sees alone. `logits`, `hidden`: "
          "'none', 'last', 'all' or indices of tokens, whose logits, or hidden "
          "states "
          "after the final norm, are returned. `top_k`: (token, k, penalty, seen, "
          "allowed) for the k likeliest tokens behind a token, after the repetition penalty of the tokens in the mask "
          "`seen` and of those in `allowed`. `sampler`: draws what follows the last token, among `allowed`. `guesses`: "
          "how "
          "many of the last tokens are only guesses of what the sampler draws; it draws what follows the token before "
          "them, and what follows each of them as long as they were right. `allowed` then has a row for each. Masks "
          "are "
          "uint32 [ceil(vocab/32)], or None.\n\n"
          "Raises InvalidBatchError for arrays of another shape or type; the batch stays as it was.")
      .def_property_readonly("caches", &PyBatch::caches, "Of the causal sequences.")
      .def_property_readonly("num_tokens", &PyBatch::num_tokens)
      .def_property_readonly("num_sequences", &PyBatch::num_sequences);
}

} // namespace tinychat
