// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/decoder.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <set>
#include <utility>

#include "decoder/batch_check.h"
#include "decoder/passes.h"
#include "decoder/top_k.h"

namespace tinychat {
namespace {

void look_at(const CancelFlag* cancel) {
  if (cancel != nullptr && cancel->set.load(std::memory_order_relaxed)) throw Canceled();
}

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

// Locks every cache of a batch, in an order that is the same for all threads.
std::vector<std::unique_lock<std::mutex>> lock_caches(const ForwardBatch& batch) {
  std::vector<KvCache*> caches;
  for (const Sequence& sequence : batch.sequences)
    if (sequence.cache != nullptr) caches.push_back(sequence.cache);
  std::sort(caches.begin(), caches.end(), std::less<>());
  std::vector<std::unique_lock<std::mutex>> locks;
  for (KvCache* cache : caches) locks.emplace_back(cache->mutex());
  return locks;
}

// A request that the backend does not answer: the decoder does, from a row of logits.
struct HostTopK {
  TopKRequest* request;
  const float* logits;
};

// Takes the requests for more than the backend finds out of a pass, which then asks for their logits instead; `rows`: room
// for those that nobody else wants.
std::vector<HostTopK> take_host_top_k(ForwardBatch& pass, int most, size_t vocab, std::vector<float>& rows) {
  const auto is_taken = [&](const OutputRequest& output) { return output.top_k != nullptr && output.top_k->k > most; };
  const auto needs_row = [&](const OutputRequest& output) { return is_taken(output) && output.logits == nullptr; };
  const size_t needed = vocab * std::count_if(pass.outputs.begin(), pass.outputs.end(), needs_row);
  if (rows.size() < needed) rows.resize(needed);
  float* row = rows.data();
  std::vector<HostTopK> taken;
  for (OutputRequest& output : pass.outputs) {
    if (!is_taken(output)) continue;
    if (output.logits == nullptr) output.logits = std::exchange(row, row + vocab);
    taken.push_back({std::exchange(output.top_k, nullptr), output.logits});
  }
  return taken;
}

// What is wanted of a token, nothing at first.
OutputRequest& output_of(ForwardBatch& batch, int token) {
  const auto before = [](const OutputRequest& output, int other) { return output.token < other; };
  auto output = std::lower_bound(batch.outputs.begin(), batch.outputs.end(), token, before);
  if (output == batch.outputs.end() || output->token != token) output = batch.outputs.insert(output, {token});
  return *output;
}

// What a sampler draws from, of one token: candidates that the backend finds, or logits.
struct RowRequest {
  TopKRequest top_k = {};
  const float* logits = nullptr;
  const uint32_t* allowed = nullptr;
};

// `tokens`: the token of the request, and its guesses.
Drawn draw_rows(const DrawRequest& draw, const int32_t* tokens, const std::vector<RowRequest>& rows, int vocab) {
  Drawn drawn;
  Sampler& sampler = *draw.sampler;
  try {
    for (int i = 0; i <= draw.guesses; ++i) {
      const RowRequest& row = rows[i];
      const int32_t token = row.logits != nullptr ? sampler.sample(row.logits, vocab, row.allowed)
                                                  : sampler.sample(row.top_k.found);
      drawn.tokens.push_back(token);
      if (sampler.has_logprobs()) drawn.logprobs.push_back(sampler.logprobs());
      if (i == draw.guesses || token != tokens[i + 1]) break;
      sampler.accept(token);
    }
  } catch (const std::invalid_argument& error) {
    drawn.error = error.what();
  }
  return drawn;
}

} // namespace

Decoder::Decoder(const Model& model, std::unique_ptr<Backend> backend)
    : id_(next_id()), model_(model), backend_(std::move(backend)) {}

std::unique_ptr<KvCache> Decoder::new_cache() {
  std::unique_ptr<KvCache> cache = backend_->new_cache();
  cache->set_decoder_id(id_);
  return cache;
}

// Two looks at the clock a step: 0.2% of a token of the smallest model, so the profile is always there.
template <typename Step>
void Decoder::timed(int step, const Step& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  step_seconds_[step] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Of the last layer, only the tokens with outputs go on from attention: the others are only wanted in the cache.
void Decoder::run_steps(const ForwardBatch& pass, const ForwardBatch& outputs, const CancelFlag* cancel) {
  timed(0, [&] { backend_->embed(pass); });
  for (int i = 0; i < model_.config.layers; ++i) {
    look_at(cancel);
    const bool last = i + 1 == model_.config.layers;
    const ForwardBatch& batch = last ? outputs : pass;
    timed(1, [&] { backend_->norm_qkv(i, pass); });
    timed(2, [&] {
      backend_->attention(i, pass, last ? Tokens::kOutputs : Tokens::kAll);
      if (last && outputs.num_tokens() < pass.num_tokens() && outputs.num_tokens() > 0) backend_->compact_tokens(pass);
    });
    if (batch.num_tokens() == 0) return;
    const auto attn_out_proj = [&] { timed(3, [&] { backend_->attn_out_proj(i, batch); }); };
    if (!model_.config.parallel) attn_out_proj();
    timed(4, [&] { backend_->norm_gate_up(i, batch); });
    // A parallel MLP reads the residual as it was before the attention's output is added.
    if (model_.config.parallel) attn_out_proj();
    timed(5, [&] {
      backend_->mlp_down_proj(i, batch);
      if (i < model_.config.deepstack_layers && !pass.embeddings.empty()) backend_->add_deepstack(i, batch);
      const std::vector<int>& wanted = model_.config.output_layers;
      const auto found = std::find(wanted.begin(), wanted.end(), i);
      if (found != wanted.end()) backend_->layer_output(static_cast<int>(found - wanted.begin()), batch);
    });
  }
  timed(6, [&] {
    const auto any = [&](const auto& asks) {
      return std::any_of(outputs.outputs.begin(), outputs.outputs.end(), asks);
    };
    if (any([](const OutputRequest& output) { return output.logits != nullptr || output.top_k != nullptr; }))
      backend_->norm_head(outputs);
    if (any([](const OutputRequest& output) { return output.top_k != nullptr; })) backend_->top_k(outputs);
    if (any([](const OutputRequest& output) { return output.hidden != nullptr; })) backend_->final_hidden(outputs);
  });
}

void Decoder::run_pass(ForwardBatch& pass, const CancelFlag* cancel) {
  const int vocab = model_.config.vocab_size;
  const std::vector<HostTopK> top_k = take_host_top_k(pass, backend_->max_top_k(), vocab, logits_);
  const bool keeps_all = pass.num_outputs() == pass.num_tokens();
  const ForwardBatch compacted = keeps_all ? ForwardBatch{} : outputs_of(pass);
  look_at(cancel); // a backend that repeats a record calls no steps
  backend_->run(pass, [&] { run_steps(pass, keeps_all ? pass : compacted, cancel); });
  for (const HostTopK& host : top_k) find_top_k(host.logits, vocab, *host.request);
  for (const Sequence& sequence : pass.sequences)
    if (sequence.cache != nullptr)
      sequence.cache->append(&pass.positions[sequence.tokens.begin], sequence.tokens.size());
}

void Decoder::forward(const ForwardBatch& batch, const CancelFlag* cancel) {
  check_batch(batch, model_, id_);
  // The caches first: a thread that waits for its turn with the decoder must find the room that it was promised.
  const std::vector<std::unique_lock<std::mutex>> cache_locks = lock_caches(batch);
  check_room(batch);
  std::vector<ForwardBatch> passes = cut_into_passes(batch, *backend_, model_.context_length);
  for (const ForwardBatch& pass : passes) backend_->check_pass(pass);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (ForwardBatch& pass : passes) run_pass(pass, cancel);
}

std::vector<Drawn> Decoder::sample(ForwardBatch batch, const std::vector<DrawRequest>& draws,
                                   const CancelFlag* cancel) {
  const int vocab = model_.config.vocab_size;
  std::vector<std::vector<RowRequest>> rows(draws.size());
  std::set<const Sampler*> samplers;
  for (size_t i = 0; i < draws.size(); ++i) {
    const DrawRequest& draw = draws[i];
    Sampler& sampler = *draw.sampler;
    if (!samplers.insert(&sampler).second) throw InvalidBatch("two draws of a batch have the same sampler");
    rows[i].resize(draw.guesses + 1);
    const int wanted = sampler.candidates(vocab);
    const bool few = wanted > 0 && wanted <= backend_->max_top_k();
    for (int guess = 0; guess <= draw.guesses; ++guess) {
      RowRequest& row = rows[i][guess];
      row.allowed = draw.allowed == nullptr ? nullptr : draw.allowed + guess * draw.allowed_words;
      OutputRequest& output = output_of(batch, draw.token + guess);
      // What a sampler looks for after a guess depends on the guess if it has penalties.
      const bool is_known = guess == 0 || !sampler.has_penalties();
      if (few && is_known && output.logits == nullptr && output.top_k == nullptr) {
        row.top_k = sampler.top_k_request(wanted, vocab, row.allowed);
        output.top_k = &row.top_k;
        continue;
      }
      if (output.logits == nullptr) output.logits = sampler.row(guess, draw.guesses + 1, vocab);
      row.logits = output.logits;
    }
  }
  forward(batch, cancel);
  std::vector<Drawn> drawn(draws.size());
  // A draw from a whole vocabulary takes a noticeable part of a pass.
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::exception_ptr> errors(draws.size());
  backend_->run_jobs(static_cast<int>(draws.size()), [&](int i) {
    try {
      drawn[i] = draw_rows(draws[i], &batch.tokens[draws[i].token], rows[i], vocab);
    } catch (...) {
      errors[i] = std::current_exception();
    }
  });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  return drawn;
}

} // namespace tinychat
