// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the backend has on the device, all of it allocated at once.

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

} // namespace

void CudaBackend::build() {
  state_.reset();
  CudaDevice device = {};
  tinychat_cuda_probe(&device);

  auto state = std::make_unique<State>();
  state->resets = device_resets();
  state->stream = new_stream();
  queue_.stream = state->stream.get();
  queue_.overlap = can_overlap(device);
  queue_.multiprocessors = device.multiprocessors;

  Upload upload(queue_.stream);
  if (place_files_) place_files_(upload);
  state->model = upload.model(source_);
  state->weights = upload.finish();

  const ModelConfig& c = config_;
  const size_t rows = kMaxRows, hidden = c.hidden_size, inner = c.intermediate_size;
  const size_t row = std::max(c.hidden_size, c.embedding_width());
  const size_t half = c.rope_inv_freq.size(), local_half = c.rope_local_inv_freq.size();
  const auto floats = [](DeviceArray<float>& array, size_t count) {
    if (count > 0) array = device_array<float>(count, "the decoder's buffers");
  };
  const auto numbers = [](DeviceArray<uint16_t>& array, size_t count) {
    array = device_array<uint16_t>(count, "the decoder's buffers");
  };
  state->host_step = pinned_array<Step>(1);
  state->step = device_array<Step>(1, "the decoder's buffers");
  floats(state->residual, rows * hidden);
  floats(state->part, rows * row);
  floats(state->qkv, rows * c.qkv_width());
  numbers(state->normed, rows * row);
  numbers(state->attention, rows * c.attention_width());
  numbers(state->hidden, rows * inner);
  const size_t widest = std::max({row, inner, static_cast<size_t>(c.attention_width())});
  if (has_input_orders(state->model)) {
    numbers(state->ordered, rows * widest);
    const auto in_blocks = [](const Layer& l) { return !l.qkv_blocks.empty() || !l.up_blocks.empty(); };
    if (std::any_of(state->model.layers.begin(), state->model.layers.end(), in_blocks))
      floats(state->blocks, rows * std::max(static_cast<size_t>(c.qkv_width()), 2 * inner));
  }
  if (byte_activations_) {
    state->bytes = device_array<int8_t>(rows * widest, "the decoder's buffers");
    state->byte_scales = device_array<float>(rows * ceil_div(static_cast<int>(widest), 32), "the decoder's buffers");
  }
  floats(state->frequencies, half + local_half);
  floats(state->cosines, rows * half);
  floats(state->sines, rows * half);
  floats(state->local_cosines, rows * local_half);
  floats(state->local_sines, rows * local_half);
  floats(state->slopes, c.alibi_slopes.size());
  floats(state->partials, static_cast<size_t>(c.heads) * kMaxSplits * (c.head_dim + 2));
  state->arrivals = device_array<unsigned>(c.heads, "the decoder's buffers");
  floats(state->logits, static_cast<size_t>(kLogitRows) * c.vocab_size);
  state->host_logits = pinned_array<float>(c.vocab_size);
  const size_t words = ceil_div(c.vocab_size, 32), shares = choice_shares(c.vocab_size);
  state->seen = device_array<uint32_t>(words, "the decoder's buffers");
  state->allowed = device_array<uint32_t>(words, "the decoder's buffers");
  state->shares = device_array<Candidate>(shares * kMostCandidates, "the decoder's buffers");
  state->candidates = device_array<Candidate>(kMostCandidates, "the decoder's buffers");
  state->host_candidates = pinned_array<Candidate>(kMostCandidates);

  copy(state->frequencies, 0, c.rope_inv_freq, queue_.stream);
  copy(state->frequencies, half, c.rope_local_inv_freq, queue_.stream);
  copy(state->slopes, 0, c.alibi_slopes, queue_.stream);
  check(cudaMemsetAsync(state->arrivals.get(), 0, sizeof(unsigned) * c.heads, queue_.stream), "preparing buffers");
  check(cudaStreamSynchronize(queue_.stream), "preparing buffers");
  state_ = std::move(state);
}

} // namespace tinychat::cuda
