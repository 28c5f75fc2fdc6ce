// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// How a pass of the CUDA backend runs: its parameters, its graph, its results, and recovery from a failure.

#include "cuda/runtime/cuda_backend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace tinychat::cuda {
namespace {

constexpr int kSmallestContextBucket = 256; // slots; each next bucket has twice as many

// bf16 where the weights are: such a model may have activations that fp16 cannot hold.
DType activation_dtype(const Model& model) {
  const auto is_bf16 = [](const Linear& w) { return w.format == WeightFormat::kBf16; };
  for (const Layer& layer : model.layers) {
    if (is_bf16(layer.qkv) || is_bf16(layer.o) || is_bf16(layer.up) || is_bf16(layer.down)) return DType::kBf16;
    for (const std::vector<Linear>* blocks : {&layer.qkv_blocks, &layer.up_blocks})
      if (std::any_of(blocks->begin(), blocks->end(), is_bf16)) return DType::kBf16;
  }
  return is_bf16(model.embedding) || is_bf16(model.head) ? DType::kBf16 : DType::kFp16;
}

} // namespace

CudaBackend::CudaBackend(const Model& model, const CudaOptions& options)
    : source_(model),
      config_(source_.config),
      place_files_(options.place_files),
      shape_{config_.layers, config_.kv_heads, config_.head_dim, options.capacity, options.int8_kv_cache},
      dtype_(activation_dtype(model)),
      int8_activations_(options.int8_activations) {
  if (config_.head_dim > kMaxHeadDim)
    throw std::invalid_argument("the CUDA backend serves heads of up to " + std::to_string(kMaxHeadDim) +
                                " numbers, not " + std::to_string(config_.head_dim));
  if (config_.gated && config_.intermediate_size % 16 != 0)
    throw std::invalid_argument("the CUDA backend serves gated feed-forward parts of multiples of 16 numbers, not " +
                                std::to_string(config_.intermediate_size));
  build();
}

std::unique_ptr<KvCache> CudaBackend::new_cache() { return std::make_unique<CudaKvCache>(shape_); }

CudaBackend::PassShape CudaBackend::shape_of(const ForwardBatch& pass) {
  PassShape shape = {pass.num_tokens(), pass.num_outputs(), false, false, false, !pass.embeddings.empty()};
  for (const OutputRequest& output : pass.outputs) {
    shape.wants_logits |= output.logits != nullptr;
    shape.wants_top_k |= output.top_k != nullptr;
    shape.wants_hidden |= output.hidden != nullptr;
  }
  return shape;
}

void CudaBackend::run(const ForwardBatch& pass, const std::function<void()>& steps) {
  if (state_ == nullptr || state_->resets != device_resets()) build();
  try {
    prepare(pass);
    if (state_->kernels_loaded.count(pass_shape_) > 0) {
      replay_graph(pass, steps);
    } else {
      state_->tokens.params.copy(context_.stream);
      steps();
      check(cudaStreamSynchronize(context_.stream), "a pass");
      const bool is_captured_next = pass.num_tokens() <= kMaxGraphTokens && !pass_shape_.wants_hidden &&
                                    config_.output_layers.empty();
      if (is_captured_next) state_->kernels_loaded.insert(pass_shape_);
    }
  } catch (const DeviceError&) {
    // After a sticky error nothing on the device is usable: free it all now, and build again for the next pass.
    if (cudaStreamSynchronize(context_.stream) != cudaSuccess) {
      state_.reset();
      reset_device();
    }
    throw;
  } catch (...) {
    cudaStreamSynchronize(context_.stream); // a canceled pass still reads its parameters and embeddings
    throw;
  }
}

void CudaBackend::prepare(const ForwardBatch& pass) {
  pass_shape_ = shape_of(pass);
  reserve(pass);
  copy_embeddings(pass);
  PassParams& params = state_->tokens.params;
  params.set(pass, state_->scratch);
  for (context_bucket_ = kSmallestContextBucket; context_bucket_ < params.longest_context(); context_bucket_ *= 2) {
  }
}

// Makes room for what few passes need. Graphs hold the addresses of buffers, so they are captured again if one moves.
void CudaBackend::reserve(const ForwardBatch& pass) {
  State& s = *state_;
  if (const int tokens = num_scratch_tokens(pass); tokens > s.scratch.capacity) {
    s.scratch = {};
    s.scratch_memory.reset();
    const CacheShape shape = {1, shape_.kv_heads, shape_.head_dim, tokens, shape_.int8};
    s.scratch_memory = device_array<uint8_t>(shape.total_bytes(), "a sequence that is not causal");
    s.scratch = {s.scratch_memory.get(), tokens};
  }
  bool moved = false;
  if (pass.num_tokens() > s.tokens.capacity) {
    s.tokens = new_token_buffers(pass.num_tokens());
    s.embeddings.reset();
    moved = true;
  }
  if (!pass.embeddings.empty() && s.embeddings == nullptr) {
    const size_t width = config_.input_width();
    s.embeddings = device_array<float>(s.tokens.capacity * width, "embeddings");
    moved = true;
  }
  const int outputs = pass_shape_.wants_logits ? std::min(pass.num_outputs(), kLogitRows) : 0;
  if (outputs > s.num_host_logits) {
    const int host_rows = outputs == 1 ? 1 : outputs <= kMaxGraphTokens ? kMaxGraphTokens : kLogitRows;
    s.host_logits = pinned_array<float>(static_cast<size_t>(host_rows) * config_.vocab_size);
    s.num_host_logits = host_rows;
    moved = true;
  }
  if (moved) s.graphs.clear();
}

// Rows that follow each other in memory are one copy.
void CudaBackend::copy_embeddings(const ForwardBatch& pass) {
  const size_t width = config_.input_width();
  for (int begin = 0, end = 0; begin < pass.num_tokens(); begin = end) {
    const float* rows = pass.embedding(begin);
    end = begin + 1;
    if (rows == nullptr) continue;
    while (end < pass.num_tokens() && pass.embedding(end) == rows + (end - begin) * width) ++end;
    check(cudaMemcpyAsync(state_->embeddings.get() + begin * width, rows, sizeof(float) * (end - begin) * width,
                          cudaMemcpyHostToDevice, context_.stream),
          "copying embeddings");
  }
}

// Captures the first pass of a shape and context bucket; later ones are a single launch.
void CudaBackend::replay_graph(const ForwardBatch& pass, const std::function<void()>& steps) {
  Graph& graph = state_->graphs[{pass_shape_, context_bucket_}];
  if (graph == nullptr) capture(graph, steps);
  copy_token_masks(pass, 0, pass.num_outputs());
  check(cudaGraphLaunch(graph.get(), context_.stream), "launching a graph");
  check(cudaStreamSynchronize(context_.stream), "a pass");
  hand_over(pass, 0, pass.num_outputs());
}

void CudaBackend::capture(Graph& graph, const std::function<void()>& steps) {
  check(cudaStreamBeginCapture(context_.stream, cudaStreamCaptureModeThreadLocal), "capturing a graph");
  cudaGraph_t captured = nullptr;
  capturing_ = true;
  try {
    state_->tokens.params.copy(context_.stream);
    steps();
  } catch (...) {
    capturing_ = false;
    cudaStreamEndCapture(context_.stream, &captured);
    if (captured != nullptr) cudaGraphDestroy(captured);
    throw;
  }
  capturing_ = false;
  check(cudaStreamEndCapture(context_.stream, &captured), "capturing a graph");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t made = cudaGraphInstantiateWithFlags(&executable, captured, 0);
  cudaGraphDestroy(captured);
  check(made, "a graph");
  graph = Graph(executable, FreeGraph{device_resets()});
}

// Penalties and masks of `count` outputs from `begin` on, a bit a token.
void CudaBackend::copy_token_masks(const ForwardBatch& batch, int begin, int count) {
  const size_t words = ceil_div(config_.vocab_size, 32);
  const auto copy = [&](const uint32_t* bits, const DeviceArray<uint32_t>& to, int row) {
    if (bits == nullptr) return;
    check(cudaMemcpyAsync(to.get() + row * words, bits, sizeof(uint32_t) * words, cudaMemcpyHostToDevice,
                          context_.stream),
          "a pass");
  };
  for (int row = 0; row < count; ++row) {
    const TopKRequest* top_k = batch.outputs[begin + row].top_k;
    if (top_k == nullptr) continue;
    copy(top_k->seen, state_->seen, row);
    copy(top_k->allowed, state_->allowed, row);
  }
}

// Results of `count` outputs from `begin` on: from pinned memory to where they are wanted.
void CudaBackend::hand_over(const ForwardBatch& batch, int begin, int count) const {
  const size_t width = output_width();
  const auto is_none = [](const Candidate& c) { return c.logit == -std::numeric_limits<float>::infinity(); };
  for (int row = 0; row < count; ++row) {
    const OutputRequest& output = batch.outputs[begin + row];
    if (output.logits != nullptr) std::copy_n(state_->host_logits.get() + row * width, width, output.logits);
    if (output.top_k == nullptr) continue;
    const Candidate* found = state_->host_candidates.get() + static_cast<size_t>(row) * kMaxTopK;
    const Candidate* end = std::isnan(found->logit) ? found + 1 : std::find_if(found, found + output.top_k->k, is_none);
    output.top_k->found.assign(found, end);
  }
}

} // namespace tinychat::cuda
