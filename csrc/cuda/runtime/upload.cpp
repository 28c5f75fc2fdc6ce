// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cuda/runtime/upload.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <stdexcept>

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
    default: throw std::invalid_argument("CUDA has no kernels for weights of this format"); // they are widened before
  }
  const size_t groups = numbers / w.group;
  if (w.channel_scales != nullptr) channel_scales = 4 * groups;
  if (w.scales != nullptr) scales = 2 * groups;
  if (w.mins != nullptr) mins = 2 * groups;
  if (w.zeros != nullptr) zeros = groups / 2;
}

Upload::Upload(cudaStream_t stream) : stream_(stream), resets_(device_resets()) {
  for (cudaEvent_t& event : copied_)
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "preparing to copy the weights");
}

Upload::~Upload() {
  if (resets_ != device_resets()) return;
  cudaStreamSynchronize(stream_); // the buffers are freed now
  for (cudaEvent_t event : copied_) cudaEventDestroy(event);
}

uint8_t* Upload::buffer(size_t size) {
  buffers_.push_back(std::make_unique<HostBuffer>(size));
  return buffers_.back()->data();
}

uint8_t* Upload::allocate(const void* host, size_t size) {
  memory_.push_back(device_array<uint8_t>(size, "the weights"));
  regions_[static_cast<const uint8_t*>(host)] = {size, memory_.back().get()};
  return memory_.back().get();
}

void Upload::copy(uint8_t* to, const void* from, size_t size) {
  check(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, stream_), "copying the weights");
}

void Upload::synchronize() { check(cudaStreamSynchronize(stream_), "copying the weights"); }

const uint8_t* Upload::on_device(const uint8_t* host, size_t size) const {
  const auto next = regions_.upper_bound(host);
  if (next == regions_.begin()) return nullptr;
  const auto& [begin, region] = *std::prev(next);
  const auto offset = static_cast<size_t>(host - begin);
  return offset + size <= region.size ? region.device + offset : nullptr;
}

template <typename T>
void Upload::move(const T*& pointer, size_t count) {
  if (pointer == nullptr) return;
  const auto* host = reinterpret_cast<const uint8_t*>(pointer);
  const size_t bytes = count * sizeof(T);
  if (on_device(host, bytes) == nullptr) {
    uint8_t* device = allocate(host, bytes);
    for (size_t done = 0; done < bytes; done += kChunk, next_ = 1 - next_) {
      const size_t size = std::min(kChunk, bytes - done);
      if (ring_[next_] == nullptr) ring_[next_] = buffer(kChunk);
      check(cudaEventSynchronize(copied_[next_]), "copying the weights");
      std::memcpy(ring_[next_], host + done, size);
      copy(device + done, ring_[next_], size);
      check(cudaEventRecord(copied_[next_], stream_), "copying the weights");
    }
  }
  pointer = reinterpret_cast<const T*>(on_device(host, bytes));
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
  move(w.input_order, w.cols);
}

void Upload::move(NormVectors& norm, size_t count) {
  move(norm.weight, count);
  move(norm.bias, count);
}

Model Upload::model(const Model& host) {
  Model model = host;
  const size_t hidden = host.config.hidden_size, head = host.config.head_dim;
  for (Linear* w : {&model.embedding, &model.project_in, &model.positions, &model.project_out, &model.head}) move(*w);
  move(model.final_norm, hidden);
  for (Layer& layer : model.layers) {
    for (NormVectors* norm : {&layer.attn_norm, &layer.mlp_norm, &layer.attn_post_norm, &layer.mlp_post_norm,
                              &layer.attn_sum_norm, &layer.mlp_sum_norm})
      move(*norm, hidden);
    move(layer.q_norm, head);
    move(layer.k_norm, head);
    for (Linear* w : {&layer.qkv, &layer.o, &layer.up, &layer.down}) move(*w);
    for (std::vector<Linear>* blocks : {&layer.qkv_blocks, &layer.up_blocks})
      for (Linear& w : *blocks) move(w); // with input orders alone, they point into matrices that are already there
  }
  return model;
}

std::vector<DeviceArray<uint8_t>> Upload::finish() {
  synchronize();
  return std::move(memory_);
}

} // namespace tinychat::cuda
