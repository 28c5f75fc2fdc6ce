// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Keys and values of one sequence on the device.
#pragma once

#include "cuda/attention/kv_layout.h"
#include "cuda/runtime/memory.h"
#include "decoder/backend.h"

namespace tinychat::cuda {

class CudaKvCache : public KvCache {
 public:
  explicit CudaKvCache(const CacheShape& shape) : KvCache(shape.capacity), shape_(shape) { allocate(); }

  size_t bytes() const override { return shape_.total_bytes(); }
  // A reset of the device loses the contents.
  int length() const override { return lost() ? 0 : KvCache::length(); }

  void copy_keys_and_values(KvCache& from, int length) override {
    auto& other = static_cast<CudaKvCache&>(from);
    uint8_t *to = memory(), *source = other.memory();
    const auto copy = [&](size_t at, size_t size) {
      check(cudaMemcpyAsync(to + at, source + at, size, cudaMemcpyDeviceToDevice, nullptr), "copying a KV cache");
    };
    const size_t capacity = shape_.capacity, tokens = length, scale = sizeof(uint16_t);
    for (size_t head = 0; head < static_cast<size_t>(shape_.layers) * shape_.kv_heads; ++head) {
      const size_t keys = head * shape_.head_bytes(), values = keys + capacity * shape_.row();
      copy(keys, tokens * shape_.row());
      copy(values, tokens * shape_.row());
      if (!shape_.int8) continue;
      const size_t key_scales = values + capacity * shape_.row();
      copy(key_scales, tokens * shape_.groups() * scale);
      copy(key_scales + capacity * shape_.groups() * scale, tokens * scale);
    }
    check(cudaStreamSynchronize(nullptr), "copying a KV cache");
  }

  // The memory, allocated again after a reset of the device.
  uint8_t* memory() {
    if (lost()) allocate();
    return memory_.get();
  }

 private:
  bool lost() const { return memory_.get_deleter().resets != device_resets(); }
  void allocate() {
    memory_ = device_array<uint8_t>(shape_.total_bytes(), "the KV cache");
    set_length(0);
  }

  CacheShape shape_;
  DeviceArray<uint8_t> memory_;
};

} // namespace tinychat::cuda
