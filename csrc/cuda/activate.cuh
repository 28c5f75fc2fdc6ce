// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The feed-forward part's activation, and its product with the other half where there is a gate.
#pragma once

#include "cuda/number.cuh"
#include "cuda/overlap.cuh"
#include "decoder/model.h"

namespace tinychat::cuda {

constexpr int kActivateThreads = 256;

__device__ inline float activation(Activation kind, float x) {
  switch (kind) {
    case Activation::kSilu: return x / (1.0f + expf(-x));
    case Activation::kGelu: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case Activation::kGeluTanh: return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case Activation::kRelu: return x > 0.0f ? x : 0.0f;
  }
  return x;
}

// out [rows][width] = act(gate) * up of x [rows][gate | up], or act(x) without a gate; times the next matrix's input scale
// where it has one. Grid: (ceil(width / threads), rows).
__global__ void __launch_bounds__(kActivateThreads)
    activate_rows(const float* x, const float* input_scale, int width, Activation kind, bool gated, Number number,
                  uint16_t* out) {
  await_previous();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= width) return;
  const float* row = x + static_cast<size_t>(blockIdx.y) * width * (gated ? 2 : 1);
  float y = activation(kind, row[i]);
  if (gated) y *= row[width + i];
  if (input_scale != nullptr) y *= input_scale[i];
  out[static_cast<size_t>(blockIdx.y) * width + i] = to_number(y, number);
}

// x = softcap * tanh(x / softcap)
__global__ void __launch_bounds__(kActivateThreads) cap_all(float* x, int count, float softcap) {
  await_previous();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) x[i] = softcap * tanhf(x[i] / softcap);
}

} // namespace tinychat::cuda
