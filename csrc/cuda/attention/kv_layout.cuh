// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Access to one KV head of a cache, a token at a time.
#pragma once

#include "cuda/attention/kv_layout.h"
#include "cuda/primitives/dtype.cuh"
#include "cuda/primitives/forward_params.h"
#include "cuda/primitives/reduce.cuh"

namespace tinychat::cuda {

// The arrays of one KV head of one layer.
struct CacheHead {
  uint8_t *keys, *values;
  uint16_t *key_scales, *value_scales; // null for fp16

  // Of the cache that a token's keys and values are in.
  __device__ CacheHead(CacheShape shape, const TokenParams& token, int layer, int kv_head) {
    shape.capacity = token.capacity;
    uint8_t* cache = token.cache;
    if (!token.is_cached) layer = 0;
    keys = cache + layer * shape.layer_bytes() + kv_head * shape.head_bytes();
    values = keys + shape.capacity * shape.row();
    key_scales = shape.int8 ? reinterpret_cast<uint16_t*>(values + shape.capacity * shape.row()) : nullptr;
    value_scales = shape.int8 ? key_scales + static_cast<size_t>(shape.capacity) * shape.groups() : nullptr;
  }
};

// The types of a row: how eight channels are loaded, and converted to float.
struct Fp16Row {
  using Load = uint4;
  static constexpr bool kScaled = false;

  __device__ static void expand(const Load& load, uint16_t, float* out) {
    const uint32_t words[4] = {load.x, load.y, load.z, load.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out[2 * i] = from_half(static_cast<uint16_t>(words[i] & 0xffff));
      out[2 * i + 1] = from_half(static_cast<uint16_t>(words[i] >> 16));
    }
  }
};

struct Int8Row {
  using Load = uint2;
  static constexpr bool kScaled = true;

  __device__ static void expand(const Load& load, uint16_t scale, float* out) {
    const uint32_t words[2] = {load.x, load.y};
    const float factor = from_half(scale);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      out[i] = factor * static_cast<float>(static_cast<int8_t>(words[i / 4] >> (8 * (i % 4)) & 0xff));
  }
};

// Writes x [dim] as one row of the cache, by one warp; `group` channels share a scale. The scale is rounded to fp16 first, so
// that the int8 numbers are computed for the scale that is stored.
template <typename Row>
__device__ inline void store_row(const float* x, int dim, int group, uint8_t* row, uint16_t* scales) {
  const int lane = threadIdx.x % kWarp;
  if constexpr (!Row::kScaled) {
    for (int d = lane; d < dim; d += kWarp) reinterpret_cast<uint16_t*>(row)[d] = to_half(x[d]);
  } else {
    for (int begin = 0; begin < dim; begin += group) {
      const int end = begin + group < dim ? begin + group : dim;
      float largest = 0;
      for (int d = begin + lane; d < end; d += kWarp) largest = fmaxf(largest, fabsf(x[d]));
      largest = max_lanes(largest);
      const uint16_t scale = to_half(largest / 127.0f);
      const float rounded = from_half(scale), inverse = rounded > 0.0f ? 1.0f / rounded : 0.0f;
      for (int d = begin + lane; d < end; d += kWarp) {
        const float q = fmaxf(-127.0f, fminf(127.0f, rintf(x[d] * inverse)));
        row[d] = static_cast<uint8_t>(static_cast<int8_t>(q));
      }
      if (lane == 0) scales[begin / group] = scale;
    }
  }
}

} // namespace tinychat::cuda
