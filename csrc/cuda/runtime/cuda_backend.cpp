// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A pass of the CUDA backend: what it brings along, the graph that is recorded of it, and what becomes of a failure.

#include "cuda/runtime/cuda_backend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace tinychat::cuda {
namespace {

constexpr int kLeastReach = 256; // positions of the smallest graph; each next one has twice as many

// bf16 where the weights are: such a model may have activations that fp16 cannot hold.
Number number_of(const Model& model) {
  const auto is_bf16 = [](const Linear& w) { return w.format == WeightFormat::kBf16; };
  for (const Layer& layer : model.layers)
    if (is_bf16(layer.qkv) || is_bf16(layer.o) || is_bf16(layer.up) || is_bf16(layer.down)) return Number::kBf16;
  return is_bf16(model.embedding) || is_bf16(model.head) ? Number::kBf16 : Number::kHalf;
}

} // namespace

CudaBackend::CudaBackend(const Model& model, const CudaOptions& options)
    : source_(model),
      config_(source_.config),
      place_files_(options.place_files),
      shape_{config_.layers, config_.kv_heads, config_.head_dim, options.capacity, options.byte_cache},
      number_(number_of(model)),
      byte_activations_(options.byte_activations) {
  if (config_.head_dim > kMaxHeadDim)
    throw std::invalid_argument("the CUDA backend serves heads of up to " + std::to_string(kMaxHeadDim) +
                                " numbers, not " + std::to_string(config_.head_dim));
  if (config_.gated && config_.intermediate_size % 16 != 0)
    throw std::invalid_argument("the CUDA backend serves gated feed-forward parts of multiples of 16 numbers, not " +
                                std::to_string(config_.intermediate_size));
  build();
}

std::unique_ptr<KvCache> CudaBackend::new_cache() { return std::make_unique<CudaKvCache>(shape_); }

void CudaBackend::run(const Pass& pass, const std::function<void()>& steps) {
  if (state_ == nullptr || state_->resets != device_resets()) build();
  try {
    prepare(pass);
    const bool decodes = pass.rows == 1 && pass.first == 0, chooses = pass.choice != nullptr;
    const bool recorded = decodes && state_->warm[chooses];
    if (recorded) {
      run_recorded(chooses, steps);
    } else {
      copy_step();
      steps();
      state_->warm[chooses] |= decodes;
    }
    check(cudaStreamSynchronize(queue_.stream), "a pass");
    if (recorded || chooses) hand_over(pass);
  } catch (const DeviceError&) {
    // What stays is beyond repair: all is given up now, and made anew for whoever comes next.
    if (cudaStreamSynchronize(queue_.stream) != cudaSuccess) {
      state_.reset();
      reset_device();
    }
    throw;
  }
}

// All that is not the same for every token: what the step says, and bits for the choice.
void CudaBackend::prepare(const Pass& pass) {
  auto& cache = static_cast<CudaKvCache&>(pass.cache);
  Step& step = state_->host_step[0];
  step.cache = cache.memory();
  step.position = cache.length();
  step.rows = rows_ = pass.rows;
  std::copy_n(pass.tokens, pass.rows, step.tokens);
  for (reach_ = kLeastReach; reach_ < step.position + pass.rows; reach_ *= 2) {
  }
  if (pass.choice == nullptr) return;
  const Choice& choice = *pass.choice;
  const auto copy_bits = [&](const uint32_t* bits, const DeviceArray<uint32_t>& to) {
    if (bits != nullptr)
      check(cudaMemcpyAsync(to.get(), bits, sizeof(uint32_t) * ceil_div(config_.vocab_size, 32), cudaMemcpyHostToDevice,
                            queue_.stream),
            "a pass");
    return bits != nullptr;
  };
  step.candidates = choice.count;
  step.penalty = choice.penalty;
  step.seen = copy_bits(choice.seen, state_->seen);
  step.allowed = copy_bits(choice.allowed, state_->allowed);
}

// What a record, or a choice, has left in pinned memory.
void CudaBackend::hand_over(const Pass& pass) const {
  if (pass.choice == nullptr) {
    std::copy_n(state_->host_logits.get(), config_.vocab_size, pass.logits);
    return;
  }
  const Candidate* found = state_->host_candidates.get();
  const int count = pass.choice->count;
  const auto none = [](const Candidate& c) { return c.logit == -std::numeric_limits<float>::infinity(); };
  pass.choice->found.assign(found, std::isnan(found[0].logit) ? found + 1 : std::find_if(found, found + count, none));
}

// Records the steps the first time that a token reaches so far; from then on a token is one launch.
void CudaBackend::run_recorded(bool chooses, const std::function<void()>& steps) {
  Graph& graph = state_->graphs[{reach_, chooses}];
  if (graph == nullptr) {
    check(cudaStreamBeginCapture(queue_.stream, cudaStreamCaptureModeThreadLocal), "recording");
    cudaGraph_t recorded = nullptr;
    recording_ = true;
    try {
      copy_step();
      steps();
    } catch (...) {
      recording_ = false;
      cudaStreamEndCapture(queue_.stream, &recorded);
      if (recorded != nullptr) cudaGraphDestroy(recorded);
      throw;
    }
    recording_ = false;
    check(cudaStreamEndCapture(queue_.stream, &recorded), "recording");
    cudaGraphExec_t executable = nullptr;
    const cudaError_t made = cudaGraphInstantiateWithFlags(&executable, recorded, 0);
    cudaGraphDestroy(recorded);
    check(made, "a graph");
    graph = Graph(executable, FreeGraph{device_resets()});
  }
  check(cudaGraphLaunch(graph.get(), queue_.stream), "launching a graph");
}

void CudaBackend::copy_step() {
  const size_t bytes = offsetof(Step, tokens) + sizeof(int32_t) * rows_;
  check(cudaMemcpyAsync(state_->step.get(), state_->host_step.get(), bytes, cudaMemcpyHostToDevice, queue_.stream),
        "a pass");
}

} // namespace tinychat::cuda
