// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Quantizes activations to int8: the largest magnitude of each group of a token becomes 127, as on the CPU.
#pragma once

#include "cuda/elementwise/elementwise.h"
#include "cuda/primitives/reduce.cuh"

namespace tinychat::cuda {

// Quantizes a row of n numbers, of which `four(i)` returns i … i + 3. The whole block shares one group, or each warp takes every
// n-th group.
template <typename Four>
__device__ inline void quantize_row(const Four& four, int n, const Int8Activations& to) {
  __shared__ float scratch[kWarp];
  const bool whole = to.group == n;
  const int mine = whole ? threadIdx.x : threadIdx.x % kWarp, team = whole ? blockDim.x : kWarp;
  const int first = whole ? 0 : threadIdx.x / kWarp, teams = whole ? 1 : blockDim.x / kWarp;
  for (int begin = first * to.group; begin < n; begin += teams * to.group) {
    const int end = begin + to.group;
    float largest = 0;
    for (int i = begin + 4 * mine; i < end; i += 4 * team) {
      const float4 x = four(i);
      largest = fmaxf(largest, fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w))));
    }
    largest = whole ? max_block(largest, scratch) : max_lanes(largest);
    const float factor = largest > 0.0f ? 127.0f / largest : 0.0f;
    const auto byte = [&](float x) { return static_cast<uint32_t>(static_cast<int>(rintf(x * factor))) & 0xff; };
    for (int i = begin + 4 * mine; i < end; i += 4 * team) {
      const float4 x = four(i);
      *reinterpret_cast<uint32_t*>(to.values + i) = byte(x.x) | byte(x.y) << 8 | byte(x.z) << 16 | byte(x.w) << 24;
    }
    if (mine == 0) to.scales[begin / to.group] = largest / 127.0f;
  }
}

} // namespace tinychat::cuda
