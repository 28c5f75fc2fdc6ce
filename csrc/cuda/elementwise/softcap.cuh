// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The soft cap of Gemma 2's logits.
#pragma once

#include "cuda/primitives/pdl.cuh"

namespace tinychat::cuda {

constexpr int kCapThreads = 256;

// x = softcap * tanh(x / softcap)
__global__ void __launch_bounds__(kCapThreads) softcap_kernel(float* x, int count, float softcap) {
  pdl_wait();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) x[i] = softcap * tanhf(x[i] / softcap);
}

} // namespace tinychat::cuda
