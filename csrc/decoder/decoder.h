// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The forward pass, written once.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "decoder/backend.h"
#include "decoder/model.h"
#include "decoder/sampler.h"

namespace tinychat {

// Set from any thread; checked between decoder layers.
struct CancelFlag {
  std::atomic<bool> set{false};
};

struct Canceled : std::runtime_error {
  Canceled() : std::runtime_error("canceled") {}
};

// Requests that a sampler draws the token that follows a token of the batch. If the `guesses` tokens after it are guesses
// of what will be drawn, the sampler also draws what follows each of them, as long as the guesses were right. Each request
// needs its own sampler, because a sampler accepts no tokens during a forward pass.
struct DrawRequest {
  int token; // index in the batch; the guesses are the tokens after it
  Sampler* sampler;
  int guesses = 0;
  // As in Sampler::sample(), or null: for token + i, `allowed` + i * allowed_words.
  const uint32_t* allowed = nullptr;
  size_t allowed_words = 0;
};

// What a sampler drew: 1 … guesses + 1 tokens, all but the last equal to the guesses; the sampler has accepted these. If
// the draw has failed, `error` says why, and `tokens` are those before it. `logprobs`: of each token, if the sampler records
// them.
struct Drawn {
  std::vector<int32_t> tokens = {};
  std::vector<DrawnLogprobs> logprobs = {};
  std::string error = {};
};

class Decoder {
 public:
  Decoder(const Model& model, std::unique_ptr<Backend> backend);

  std::unique_ptr<KvCache> new_cache();
  Backend& backend() { return *backend_; }
  const ModelConfig& config() const { return model_.config; }

  // Seconds that all passes so far spent in each fused step.
  static constexpr int kSteps = 7;
  static constexpr const char* kStepNames[kSteps] = {"embed",        "norm_qkv",      "attention", "attn_out_proj",
                                                     "norm_gate_up", "mlp_down_proj", "norm_head"};
  const std::array<double, kSteps>& step_seconds() const { return step_seconds_; }

  // Appends the tokens of each causal sequence to its cache, and computes batch.outputs. The numbers of a sequence do not
  // depend on the other sequences. Throws InvalidBatch, before anything is computed, for a batch that check_batch(),
  // check_room() or the backend refuses. Throws Canceled if `cancel` is set; the caches then keep the passes that were
  // complete.
  void forward(const ForwardBatch& batch, const CancelFlag* cancel);

  // The same, and draws for each request, in order. If the top k tokens of the backend are enough for a sampler, no row of
  // logits is copied. A draw that fails (Sampler::sample()) does not affect the others. The caches then contain the whole
  // batch, wrong guesses included.
  std::vector<Drawn> sample(ForwardBatch batch, const std::vector<DrawRequest>& draws, const CancelFlag* cancel);

 private:
  void run_pass(ForwardBatch& pass, const CancelFlag* cancel);
  void run_steps(const ForwardBatch& pass, const ForwardBatch& outputs, const CancelFlag* cancel);
  template <typename Step>
  void timed(int step, const Step& run);

  const uint64_t id_; // unique in this process
  Model model_;
  std::unique_ptr<Backend> backend_;
  std::vector<float> logits_; // rows in which candidates are searched
  std::array<double, kSteps> step_seconds_{};
  std::mutex mutex_; // the backend's buffers serve one pass at a time
};

} // namespace tinychat
