// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// RMSNorm (Zhang and Sennrich, 2019) and LayerNorm of rows of floats.
#pragma once

#include "cuda/kernels.h"
#include "cuda/number.cuh"
#include "cuda/overlap.cuh"
#include "cuda/reduce.cuh"

namespace tinychat::cuda {

constexpr int kNormThreads = 256;

// Mean (0 for RMSNorm) and reciprocal deviation of x[n], for every thread of the block.
__device__ inline void moments(const float* x, int n, Norm kind, float eps, float* scratch, float& mean,
                               float& factor) {
  mean = 0;
  if (kind == Norm::kLayer) {
    float total = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) total += x[i];
    mean = sum_block(total, scratch) / static_cast<float>(n);
  }
  float squares = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) squares += (x[i] - mean) * (x[i] - mean);
  factor = rsqrtf(sum_block(squares, scratch) / static_cast<float>(n) + eps);
}

// out[row] = norm(x[row]) * weight + bias, times the next matrix's input scale where it has one. One block a row.
__global__ void __launch_bounds__(kNormThreads)
    norm_rows(const float* x, NormWeights w, const float* input_scale, int n, Number number, uint16_t* out) {
  await_previous();
  __shared__ float scratch[kWarp];
  x += static_cast<size_t>(blockIdx.x) * n;
  out += static_cast<size_t>(blockIdx.x) * n;
  float mean, factor;
  moments(x, n, w.kind, w.eps, scratch, mean, factor);
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    float y = (x[i] - mean) * factor * w.weight[i];
    if (w.bias != nullptr) y += w.bias[i];
    if (input_scale != nullptr) y *= input_scale[i];
    out[i] = to_number(y, number);
  }
}

// residual[row] += norm(step[row]) * weight: the second norm of a part of Gemma 2. One block a row.
__global__ void __launch_bounds__(kNormThreads)
    add_normed_rows(const float* step, NormWeights w, int n, float* residual) {
  await_previous();
  __shared__ float scratch[kWarp];
  step += static_cast<size_t>(blockIdx.x) * n;
  residual += static_cast<size_t>(blockIdx.x) * n;
  float mean, factor;
  moments(step, n, w.kind, w.eps, scratch, mean, factor);
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const float y = (step[i] - mean) * factor * w.weight[i];
    residual[i] += w.bias != nullptr ? y + w.bias[i] : y;
  }
}

} // namespace tinychat::cuda
