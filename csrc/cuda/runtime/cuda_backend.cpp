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

void CudaBackend::check_pass(const ForwardBatch& pass) const {
  const auto require = [](bool serves, const char* what) {
    if (!serves) throw InvalidBatch(std::string("the CUDA backend does not serve ") + what);
  };
  require(pass.sequences.size() == 1, "several sequences in one pass");
  require(pass.sequences[0].causal && pass.sequences[0].bidirectional.empty(), "attention that is not causal");
  require(pass.embeddings.empty(), "embeddings in place of tokens");
  for (int i = 0; i < pass.num_tokens(); ++i) {
    const int position = pass.positions[0][0] + i;
    require(pass.positions[i] == Position{position, position, position}, "positions other than a token's slot");
  }
  const int outputs = pass.num_outputs();
  require(
      outputs == 0 || outputs == pass.num_tokens() || (outputs == 1 && pass.outputs[0].token + 1 == pass.num_tokens()),
      "outputs other than those of the last token or of all");
  for (const OutputRequest& output : pass.outputs)
    require(output.top_k == nullptr || (outputs == 1 && output.logits == nullptr),
            "a top-k request beside other outputs");
}

void CudaBackend::run(const ForwardBatch& pass, const std::function<void()>& steps) {
  if (state_ == nullptr || state_->resets != device_resets()) build();
  try {
    prepare(pass);
    const bool decodes = pass.num_tokens() == 1 && pass.num_outputs() == 1;
    const bool chooses = pass.num_outputs() > 0 && pass.outputs[0].top_k != nullptr;
    const bool recorded = decodes && state_->warm[chooses];
    if (recorded) {
      run_recorded(pass, chooses, steps);
    } else {
      copy_step(pass.num_tokens());
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
void CudaBackend::prepare(const ForwardBatch& pass) {
  auto& cache = static_cast<CudaKvCache&>(*pass.sequences[0].cache);
  Step& step = state_->host_step[0];
  step.cache = cache.memory();
  step.position = cache.length();
  if (pass.positions[0][0] != step.position)
    throw std::invalid_argument("the CUDA backend does not serve positions other than a token's slot");
  step.rows = pass.num_tokens();
  std::copy(pass.tokens.begin(), pass.tokens.end(), step.tokens);
  for (reach_ = kLeastReach; reach_ < step.position + step.rows; reach_ *= 2) {
  }
  if (pass.outputs.empty() || pass.outputs[0].top_k == nullptr) return;
  const TopKRequest& request = *pass.outputs[0].top_k;
  const auto copy_bits = [&](const uint32_t* bits, const DeviceArray<uint32_t>& to) {
    if (bits != nullptr)
      check(cudaMemcpyAsync(to.get(), bits, sizeof(uint32_t) * ceil_div(config_.vocab_size, 32), cudaMemcpyHostToDevice,
                            queue_.stream),
            "a pass");
    return bits != nullptr;
  };
  step.candidates = request.k;
  step.penalty = request.penalty;
  step.seen = copy_bits(request.seen, state_->seen);
  step.allowed = copy_bits(request.allowed, state_->allowed);
}

// What a record, or a choice, has left in pinned memory.
void CudaBackend::hand_over(const ForwardBatch& pass) const {
  const OutputRequest& output = pass.outputs[0];
  if (output.top_k == nullptr) {
    std::copy_n(state_->host_logits.get(), config_.vocab_size, output.logits);
    return;
  }
  const Candidate* found = state_->host_candidates.get();
  const int count = output.top_k->k;
  const auto none = [](const Candidate& c) { return c.logit == -std::numeric_limits<float>::infinity(); };
  output.top_k->found.assign(found, std::isnan(found[0].logit) ? found + 1 : std::find_if(found, found + count, none));
}

// Records the steps the first time that a token reaches so far; from then on a token is one launch.
void CudaBackend::run_recorded(const ForwardBatch& pass, bool chooses, const std::function<void()>& steps) {
  Graph& graph = state_->graphs[{reach_, chooses}];
  if (graph == nullptr) {
    check(cudaStreamBeginCapture(queue_.stream, cudaStreamCaptureModeThreadLocal), "recording");
    cudaGraph_t recorded = nullptr;
    recording_ = true;
    try {
      copy_step(pass.num_tokens());
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

void CudaBackend::copy_step(int rows) {
  const size_t bytes = offsetof(Step, tokens) + sizeof(int32_t) * rows;
  check(cudaMemcpyAsync(state_->step.get(), state_->host_step.get(), bytes, cudaMemcpyHostToDevice, queue_.stream),
        "a pass");
}

} // namespace tinychat::cuda
