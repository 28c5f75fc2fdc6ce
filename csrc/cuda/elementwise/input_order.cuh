// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Kernels for matrices with an input order of their own (Linear::input_order), one block a token.
#pragma once

#include "cuda/elementwise/activation.cuh"
#include "cuda/elementwise/elementwise.h"
#include "cuda/primitives/dtype.cuh"
#include "cuda/primitives/pdl.cuh"

namespace tinychat::cuda {

constexpr int kOrderThreads = 256;

// out[row][j] = x[row][order[j]]
__global__ void __launch_bounds__(kOrderThreads)
    reorder_rows(const uint16_t* x, int n, const float* order, uint16_t* out) {
  pdl_wait();
  const size_t begin = static_cast<size_t>(blockIdx.x) * n;
  for (int j = threadIdx.x; j < n; j += blockDim.x) out[begin + j] = x[begin + static_cast<int>(order[j])];
}

// out[row][0 … n) = x[row][0 … n), whose rows are `stride` apart
__global__ void __launch_bounds__(kOrderThreads) scatter_rows(const float* x, int n, float* out, int stride) {
  pdl_wait();
  x += static_cast<size_t>(blockIdx.x) * n;
  out += static_cast<size_t>(blockIdx.x) * stride;
  for (int j = threadIdx.x; j < n; j += blockDim.x) out[j] = x[j];
}

// The activation of gate and up when they come from separate GEMMs.
__global__ void __launch_bounds__(kOrderThreads)
    activate_rows(const float* gate, const float* up, int n, Activated to) {
  pdl_wait();
  const size_t begin = static_cast<size_t>(blockIdx.x) * n;
  for (int j = threadIdx.x; j < n; j += blockDim.x) {
    float y = activation(to.kind, gate[begin + j]) * up[begin + j];
    if (to.input_scale != nullptr) y *= to.input_scale[j];
    to.out[begin + j] = to_dtype(y, to.dtype);
  }
}

} // namespace tinychat::cuda
