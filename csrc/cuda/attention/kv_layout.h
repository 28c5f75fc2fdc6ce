// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The layout of keys and values in device memory: the channels of a token's KV head are contiguous, so that a few lanes read
// them in one transaction. Numbers are fp16, or int8 with fp16 scales, the same as the CPU's: keys have one scale for kKeyGroup
// channels of a token, because a key's channels differ widely, values one for a token.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "decoder/model.h"

namespace tinychat::cuda {

constexpr int kMaxHeadDim = 256;

struct CacheShape {
  int layers, kv_heads, head_dim, capacity;
  bool int8;

  __host__ __device__ size_t row() const { return static_cast<size_t>(head_dim) * (int8 ? 1 : 2); }
  __host__ __device__ int groups() const { return (head_dim + kKeyGroup - 1) / kKeyGroup; }
  // Bytes of one KV head of one layer: keys, values, key scales [capacity][groups], value scales [capacity].
  __host__ __device__ size_t head_bytes() const {
    const size_t scales = int8 ? sizeof(uint16_t) * static_cast<size_t>(groups() + 1) : 0;
    return (static_cast<size_t>(capacity) * (2 * row() + scales) + 255) / 256 * 256;
  }
  __host__ __device__ size_t layer_bytes() const { return head_bytes() * kv_heads; }
  __host__ __device__ size_t total_bytes() const { return layer_bytes() * layers; }
};

} // namespace tinychat::cuda
