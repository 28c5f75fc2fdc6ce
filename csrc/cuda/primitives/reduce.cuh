// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Sums and maxima across a warp and a block, in a fixed order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace tinychat::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarp = 32;
constexpr float kLowest =
    -1e30f; // below every score: its exponential is 0, and unlike infinity it can be subtracted from itself

// Each lane gets the sum over the lanes that differ from it in the bits below `width`, a power of two.
__device__ inline float sum_lanes(float value, int width = kWarp) {
  for (int offset = width / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

__device__ inline float max_lanes(float value, int width = kWarp) {
  for (int offset = width / 2; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, value, offset);
    value = other > value ? other : value;
  }
  return value;
}

// The sum over all threads of a block, for every thread; `scratch` [32] is shared memory that no thread is reading.
__device__ inline float sum_block(float value, float* scratch) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  value = sum_lanes(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  const float total = sum_lanes(lane < warps ? scratch[lane] : 0.0f);
  __syncthreads();
  return total;
}

// The same for the maximum; values are not negative.
__device__ inline float max_block(float value, float* scratch) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  value = max_lanes(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  const float max_score = max_lanes(lane < warps ? scratch[lane] : 0.0f);
  __syncthreads();
  return max_score;
}

} // namespace tinychat::cuda
