// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/decoder.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace tinychat {
namespace {

void look_at(const CancelFlag* cancel) {
  if (cancel != nullptr && cancel->set.load(std::memory_order_relaxed)) throw Canceled();
}

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
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

// Of the last layer, rows before `first` are only wanted in the cache.
void Decoder::layer(int index, const Pass& pass) {
  const int first = index + 1 < model_.config.layers ? 0 : pass.first;
  const auto output = [&] { timed(3, [&] { backend_->output(index); }); };
  timed(1, [&] { backend_->norm_qkv(index); });
  timed(2, [&] { backend_->attend(index, pass.cache, first); });
  if (first == pass.rows) return;
  if (!model_.config.parallel) output();
  timed(4, [&] { backend_->norm_up(index); });
  // A parallel MLP reads the residual as it was before the attention's output is added.
  if (model_.config.parallel) output();
  timed(5, [&] { backend_->down(index); });
}

void Decoder::steps(const Pass& pass, const CancelFlag* cancel) {
  timed(0, [&] { backend_->embed(pass.tokens, pass.rows, pass.cache.length()); });
  for (int i = 0; i < model_.config.layers; ++i) {
    look_at(cancel);
    layer(i, pass);
  }
  if (pass.first == pass.rows) return;
  timed(6, [&] {
    backend_->norm_head(pass.logits);
    if (pass.choice != nullptr) backend_->choose(*pass.choice);
  });
}

void Decoder::forward(KvCache& cache, const int32_t* tokens, int count, Logits want, float* logits,
                      const CancelFlag* cancel) {
  read(cache, tokens, count, want, logits, nullptr, cancel);
}

int32_t Decoder::sample(KvCache& cache, const int32_t* tokens, int count, Sampler& sampler, const uint32_t* allowed,
                        const CancelFlag* cancel) {
  const int vocab = model_.config.vocab_size, wanted = sampler.candidates(vocab);
  if (wanted > 0 && wanted <= backend_->most_candidates()) {
    Choice choice = sampler.choice(wanted, vocab, allowed);
    read(cache, tokens, count, Logits::kLast, nullptr, &choice, cancel);
    return sampler.sample(choice.found);
  }
  float* logits = sampler.row(vocab);
  read(cache, tokens, count, Logits::kLast, logits, nullptr, cancel);
  return sampler.sample(logits, vocab, allowed);
}

void Decoder::read(KvCache& cache, const int32_t* tokens, int count, Logits want, float* logits, Choice* choice,
                   const CancelFlag* cancel) {
  const int vocab = model_.config.vocab_size;
  if (count <= 0) throw std::invalid_argument("no tokens to decode");
  for (int i = 0; i < count; ++i)
    if (tokens[i] < 0 || tokens[i] >= vocab)
      throw std::invalid_argument("token " + std::to_string(tokens[i]) + " is outside the vocabulary of " +
                                  std::to_string(vocab));
  if (cache.decoder_id() != id_) throw std::invalid_argument("the KV cache belongs to another engine");

  // The cache first: a thread that waits for its turn with the decoder must find the room that it was promised.
  const std::lock_guard<std::mutex> cache_lock(cache.mutex());
  if (count > cache.capacity() - cache.length())
    throw std::invalid_argument("the KV cache holds " + std::to_string(cache.capacity()) + " positions, " +
                                std::to_string(cache.length()) + " of them used: no room for " + std::to_string(count) +
                                " more");
  const std::lock_guard<std::mutex> lock(mutex_);
  for (int begin = 0; begin < count; begin += backend_->max_rows()) {
    const int rows = std::min(backend_->max_rows(), count - begin);
    const int first = want == Logits::kAll ? 0 : want == Logits::kLast && begin + rows == count ? rows - 1 : rows;
    const size_t offset = want == Logits::kAll ? static_cast<size_t>(begin) * vocab : 0;
    const Pass pass{tokens + begin,
                    rows,
                    cache,
                    first,
                    logits == nullptr ? nullptr : logits + offset,
                    first < rows ? choice : nullptr};
    look_at(cancel); // a backend that repeats a record calls no steps
    backend_->run(pass, [&] { steps(pass, cancel); });
    cache.set_length(cache.length() + rows);
  }
}

} // namespace tinychat
