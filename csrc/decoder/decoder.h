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
#include <vector>

#include "decoder/backend.h"
#include "decoder/model.h"
#include "decoder/sampler.h"

namespace tinychat {

// Set from any thread; looked at between decoder layers.
struct CancelFlag {
  std::atomic<bool> set{false};
};

struct Canceled : std::runtime_error {
  Canceled() : std::runtime_error("canceled") {}
};

// A token to draw behind a token of a batch. Each draw needs a sampler of its own: it accepts nothing in between.
struct DrawRequest {
  int token; // index in the batch
  Sampler* sampler;
  const uint32_t* allowed; // as in Sampler::sample()
};

class Decoder {
 public:
  Decoder(const Model& model, std::unique_ptr<Backend> backend);

  std::unique_ptr<KvCache> new_cache();
  Backend& backend() { return *backend_; }
  const ModelConfig& config() const { return model_.config; }

  // Where the time of all passes so far went, in seconds, a name a fused step.
  static constexpr int kSteps = 7;
  static constexpr const char* kStepNames[kSteps] = {"embed",        "norm_qkv",      "attention", "attn_out_proj",
                                                     "norm_gate_up", "mlp_down_proj", "norm_head"};
  const std::array<double, kSteps>& step_seconds() const { return step_seconds_; }

  // Appends the tokens of each causal sequence to its cache, and answers batch.outputs. A sequence's numbers are the same
  // alone and beside others. Throws InvalidBatch for a batch that check_batch(), check_room() or the backend
  // refuses, before anything is computed; Canceled where `cancel` is set: whole passes done until then stay in the caches.
  void forward(const ForwardBatch& batch, const CancelFlag* cancel);

  // The same, and draws a token for each request, in their order. Where the backend finds all that a sampler looks at, no row
  // of logits leaves it. Throws what Sampler::sample() throws, too: then the caches hold the batch.
  std::vector<int32_t> sample(ForwardBatch batch, const std::vector<DrawRequest>& draws, const CancelFlag* cancel);

 private:
  void run_pass(ForwardBatch& pass, const CancelFlag* cancel);
  void run_steps(const ForwardBatch& pass, const ForwardBatch& outputs, const CancelFlag* cancel);
  template <typename Step>
  void timed(int step, const Step& run);

  const uint64_t id_; // of no other decoder of this process
  Model model_;
  std::unique_ptr<Backend> backend_;
  std::vector<float> logits_; // rows that candidates are found in
  std::array<double, kSteps> step_seconds_{};
  std::mutex mutex_; // the backend's buffers serve one pass at a time
};

} // namespace tinychat
