// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Allocates and fills what the backend keeps on the device.

#include <algorithm>

#include "cuda/runtime/cuda_backend.h"
#include "cuda/runtime/device.h"

namespace tinychat::cuda {
namespace {

template <typename T>
void copy(DeviceArray<T>& to, size_t offset, const std::vector<T>& from, cudaStream_t stream) {
  if (from.empty()) return;
  check(cudaMemcpyAsync(to.get() + offset, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice, stream),
        "copying tables");
  check(cudaStreamSynchronize(stream), "copying tables");
}

template <typename T>
void allocate(DeviceArray<T>& array, size_t count) {
  if (count > 0) array = device_array<T>(count, "the decoder's buffers");
}

} // namespace

CudaBackend::TokenBuffers CudaBackend::new_token_buffers(int num_tokens) const {
  const ModelConfig& c = config_;
  const size_t tokens = num_tokens, hidden = c.hidden_size, inner = c.intermediate_size;
  const size_t width = std::max(c.hidden_size, c.embedding_width());
  const size_t widest = std::max({width, inner, static_cast<size_t>(c.attention_width())});
  const size_t half = c.rope_inv_freq.size(), local_half = c.rope_local_inv_freq.size();
  TokenBuffers t;
  t.capacity = num_tokens;
  t.params = PassParams(num_tokens);
  allocate(t.residual, tokens * hidden);
  allocate(t.branch, tokens * width);
  allocate(t.qkv, tokens * c.qkv_width());
  allocate(t.normed, tokens * width);
  allocate(t.attention, tokens * c.attention_width());
  allocate(t.hidden, tokens * inner);
  if (has_input_orders(source_)) allocate(t.reordered, tokens * widest);
  const auto in_blocks = [](const Layer& l) { return !l.qkv_blocks.empty() || !l.up_blocks.empty(); };
  if (std::any_of(source_.layers.begin(), source_.layers.end(), in_blocks))
    allocate(t.blocks, tokens * std::max(static_cast<size_t>(c.qkv_width()), 2 * inner));
  if (int8_activations_) {
    allocate(t.int8_values, tokens * widest);
    allocate(t.int8_scales, tokens * ceil_div(static_cast<int>(widest), 32));
  }
  allocate(t.cosines, tokens * half);
  allocate(t.sines, tokens * half);
  allocate(t.local_cosines, tokens * local_half);
  allocate(t.local_sines, tokens * local_half);
  return t;
}

void CudaBackend::build() {
  state_.reset();
  CudaDevice device = {};
  tinychat_cuda_probe(&device);

  auto state = std::make_unique<State>();
  state->resets = device_resets();
  state->stream = new_stream();
  context_.stream = state->stream.get();
  context_.pdl = supports_pdl(device);
  context_.multiprocessors = device.multiprocessors;

  Upload upload(context_.stream);
  if (place_files_) place_files_(upload);
  state->model = upload.model(source_);
  state->weights = upload.finish();

  const ModelConfig& c = config_;
  const size_t rows = kLogitRows, vocab = c.vocab_size, words = ceil_div(c.vocab_size, 32);
  const size_t half = c.rope_inv_freq.size(), local_half = c.rope_local_inv_freq.size();
  state->tokens = new_token_buffers(kMaxTokens);
  allocate(state->frequencies, half + local_half);
  allocate(state->axes, c.rope_axes.size());
  allocate(state->slopes, c.alibi_slopes.size());
  // As attention_splits() says.
  allocate(state->partials, static_cast<size_t>(kMaxDecodeHeads) * device.multiprocessors * (c.head_dim + 2));
  allocate(state->split_counters, device.multiprocessors);
  allocate(state->logits, rows * vocab);
  allocate(state->seen, rows * words);
  allocate(state->allowed, rows * words);
  allocate(state->partial_top_k, rows * top_k_partials(c.vocab_size) * kMaxTopK);
  allocate(state->candidates, rows * kMaxTopK);
  state->host_candidates = pinned_array<Candidate>(rows * kMaxTopK);

  copy(state->frequencies, 0, c.rope_inv_freq, context_.stream);
  copy(state->frequencies, half, c.rope_local_inv_freq, context_.stream);
  copy(state->axes, 0, c.rope_axes, context_.stream);
  copy(state->slopes, 0, c.alibi_slopes, context_.stream);
  check(cudaMemsetAsync(state->split_counters.get(), 0, sizeof(unsigned) * device.multiprocessors, context_.stream),
        "preparing buffers");
  check(cudaStreamSynchronize(context_.stream), "preparing buffers");
  state_ = std::move(state);
}

} // namespace tinychat::cuda
