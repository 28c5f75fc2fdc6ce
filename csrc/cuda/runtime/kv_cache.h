// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Keys and values of one conversation on the device.
#pragma once

#include "cuda/attention/kv_layout.h"
#include "cuda/runtime/memory.h"
#include "decoder/backend.h"

namespace tinychat::cuda {

class CudaKvCache : public KvCache {
 public:
  explicit CudaKvCache(const CacheShape& shape) : KvCache(shape.capacity), shape_(shape) { place(); }

  size_t bytes() const override { return shape_.total_bytes(); }
  // What it held is gone when the device has been reset.
  int length() const override { return lost() ? 0 : KvCache::length(); }

  // Its memory, had anew where the device has been reset since.
  uint8_t* memory() {
    if (lost()) place();
    return memory_.get();
  }

 private:
  bool lost() const { return memory_.get_deleter().resets != device_resets(); }
  void place() {
    memory_ = device_array<uint8_t>(shape_.total_bytes(), "the KV cache");
    set_length(0);
  }

  CacheShape shape_;
  DeviceArray<uint8_t> memory_;
};

} // namespace tinychat::cuda
