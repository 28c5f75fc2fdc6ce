// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// How keys and values lie in device memory: a position's channels of a KV head stand together, so that a few lanes read
// them in one transaction. Numbers are fp16, or bytes with fp16 scales, the same ones as the CPU's: keys one for kKeyGroup
// channels of a position, because a key's channels differ widely, values one for a position.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "decoder/model.h"

namespace tinychat::cuda {

constexpr int kMaxHeadDim = 256;

struct CacheShape {
  int layers, kv_heads, head_dim, capacity;
  bool bytes;

  __host__ __device__ size_t row() const { return static_cast<size_t>(head_dim) * (bytes ? 1 : 2); }
  __host__ __device__ int groups() const { return (head_dim + kKeyGroup - 1) / kKeyGroup; }
  // Of one KV head of one layer, in bytes: keys, values, scales of keys [capacity][groups], of values [capacity].
  __host__ __device__ size_t head_bytes() const {
    const size_t scales = bytes ? sizeof(uint16_t) * static_cast<size_t>(groups() + 1) : 0;
    return (static_cast<size_t>(capacity) * (2 * row() + scales) + 255) / 256 * 256;
  }
  __host__ __device__ size_t layer_bytes() const { return head_bytes() * kv_heads; }
  __host__ __device__ size_t total_bytes() const { return layer_bytes() * layers; }
};

} // namespace tinychat::cuda
