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
