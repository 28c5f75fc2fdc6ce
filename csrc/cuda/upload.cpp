// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cuda/upload.h"

#include <algorithm>
#include <cstring>

namespace tinychat::cuda {

LinearBytes::LinearBytes(const Linear& w) {
  const size_t numbers = static_cast<size_t>(w.tiles()) * 16 * w.cols;
  switch (w.format) {
    case WeightFormat::kW4Zero:
    case WeightFormat::kW4Min: weight = numbers / 2; break;
    case WeightFormat::kW8Group:
    case WeightFormat::kW8Channel: weight = numbers; break;
    case WeightFormat::kF16:
    case WeightFormat::kBf16: weight = numbers * 2; return;
  }
  const size_t groups = numbers / w.group;
  if (w.channel_scales != nullptr) channel_scales = 4 * groups;
  if (w.scales != nullptr) scales = 2 * groups;
  if (w.mins != nullptr) mins = 2 * groups;
  if (w.zeros != nullptr) zeros = groups / 2;
}

Upload::Upload(cudaStream_t stream) : stream_(stream), ring_(pinned_array<uint8_t>(2 * kChunk)) {
  for (cudaEvent_t& event : copied_)
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "preparing to copy the weights");
}

template <typename T>
void Upload::move(const T*& pointer, size_t count) {
  if (pointer == nullptr) return;
  const void*& placed = placed_[pointer];
  if (placed == nullptr) {
    const size_t bytes = count * sizeof(T);
    memory_.push_back(device_array<uint8_t>(bytes, "the weights"));
    placed = memory_.back().get();
    for (size_t done = 0; done < bytes; done += kChunk, next_ = 1 - next_) {
      const size_t size = std::min(kChunk, bytes - done);
      uint8_t* buffer = ring_.get() + next_ * kChunk;
      check(cudaEventSynchronize(copied_[next_]), "copying the weights");
      std::memcpy(buffer, reinterpret_cast<const uint8_t*>(pointer) + done, size);
      check(cudaMemcpyAsync(memory_.back().get() + done, buffer, size, cudaMemcpyHostToDevice, stream_),
            "copying the weights");
      check(cudaEventRecord(copied_[next_], stream_), "copying the weights");
    }
  }
  pointer = static_cast<const T*>(placed);
}

void Upload::move(Linear& w) {
  if (!w.present()) return;
  const LinearBytes bytes(w);
  move(w.weight, bytes.weight);
  move(w.scales, bytes.scales / 2);
  move(w.mins, bytes.mins / 2);
  move(w.zeros, bytes.zeros);
  move(w.channel_scales, bytes.channel_scales / 4);
  move(w.bias, w.rows);
  move(w.input_scale, w.cols);
}

Model Upload::model(const Model& host) {
  Model model = host;
  const size_t hidden = host.config.hidden_size, head = host.config.head_dim;
  move(model.embedding);
  move(model.positions);
  for (Layer& layer : model.layers) {
    for (const float** vector : {&layer.attn_norm, &layer.attn_norm_bias, &layer.mlp_norm, &layer.mlp_norm_bias,
                                 &layer.attn_post_norm, &layer.mlp_post_norm})
      move(*vector, hidden);
    move(layer.q_norm, head);
    move(layer.k_norm, head);
    for (Linear* w : {&layer.qkv, &layer.o, &layer.up, &layer.down}) move(*w);
  }
  move(model.final_norm, hidden);
  move(model.final_norm_bias, hidden);
  move(model.head);
  return model;
}

std::vector<DeviceArray<uint8_t>> Upload::finish() {
  check(cudaStreamSynchronize(stream_), "copying the weights");
  for (cudaEvent_t event : copied_) cudaEventDestroy(event);
  return std::move(memory_);
}

} // namespace tinychat::cuda
