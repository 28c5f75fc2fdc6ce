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

class Decoder {
 public:
  enum class Logits { kNone, kLast, kAll };

  Decoder(const Model& model, std::unique_ptr<Backend> backend);

  std::unique_ptr<KvCache> new_cache();
  Backend& backend() { return *backend_; }
  const ModelConfig& config() const { return model_.config; }

  // Where the time of all passes so far went, in seconds, a name a fused step.
  static constexpr int kSteps = 7;
  static constexpr const char* kStepNames[kSteps] = {"embed",   "norm_qkv", "attend",   "output",
                                                     "norm_up", "down",     "norm_head"};
  const std::array<double, kSteps>& step_seconds() const { return step_seconds_; }

  // Appends `count` tokens to the cache, in chunks of the backend's rows, and writes logits [vocab] of the last token or
  // [count][vocab] of all. Throws std::invalid_argument for a token outside the vocabulary, a cache of another decoder or a
  // full cache (before anything is computed), Canceled where `cancel` is set: whole chunks done until then stay in the cache.
  void forward(KvCache& cache, const int32_t* tokens, int count, Logits want, float* logits, const CancelFlag* cancel);

  // Appends tokens likewise, and draws the one that follows; `allowed` as in Sampler::sample(). Where the backend finds all
  // that the sampler looks at, no row of logits leaves it. Throws what forward() and Sampler::sample() throw.
  int32_t sample(KvCache& cache, const int32_t* tokens, int count, Sampler& sampler, const uint32_t* allowed,
                 const CancelFlag* cancel);

 private:
  void read(KvCache& cache, const int32_t* tokens, int count, Logits want, float* logits, Choice* choice,
            const CancelFlag* cancel);
  void steps(const Pass& pass, const CancelFlag* cancel);
  void layer(int index, const Pass& pass);
  template <typename Step>
  void timed(int step, const Step& run);

  const uint64_t id_; // of no other decoder of this process
  Model model_;
  std::unique_ptr<Backend> backend_;
  std::array<double, kSteps> step_seconds_{};
  std::mutex mutex_; // the backend's buffers serve one pass at a time
};

} // namespace tinychat
