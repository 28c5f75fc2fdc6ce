// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// RMSNorm (Zhang and Sennrich, 2019) and LayerNorm of rows of floats. A row is read once and stays in registers: while one
// token is decoded, everything waits for this.
#pragma once

#include "cuda/kernels.h"
#include "cuda/number.cuh"
#include "cuda/overlap.cuh"
#include "cuda/reduce.cuh"

namespace tinychat::cuda {

constexpr int kNormThreads = 1024; // or as few as a row has fours
constexpr int kNormFours = 4;      // of numbers, in a thread's registers
static_assert(kMaxHidden == 4 * kNormFours * kNormThreads);

// A row of n numbers, n a multiple of 4: each thread has every blockDim.x-th four.
struct RowInRegisters {
  float x[kNormFours][4];

  __device__ RowInRegisters(const float* row, int n) {
#pragma unroll
    for (int i = 0; i < kNormFours; ++i) {
      const int at = index(i);
      const float4 four = at < n ? *reinterpret_cast<const float4*>(row + at) : float4{};
      x[i][0] = four.x;
      x[i][1] = four.y;
      x[i][2] = four.z;
      x[i][3] = four.w;
    }
  }

  __device__ static int index(int i) { return 4 * (i * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)); }

  // x = (x - mean) / deviation, the mean being 0 for RMSNorm; `scratch` [32] is shared.
  __device__ void standardize(int n, Norm kind, float eps, float* scratch) {
    float mean = 0;
    if (kind == Norm::kLayer) {
      float total = 0;
      each(n, [&](float& value, int) { total += value; });
      mean = sum_block(total, scratch) / static_cast<float>(n);
    }
    float squares = 0;
    each(n, [&](float& value, int) {
      value -= mean;
      squares += value * value;
    });
    const float factor = rsqrtf(sum_block(squares, scratch) / static_cast<float>(n) + eps);
    each(n, [&](float& value, int) { value *= factor; });
  }

  template <typename Use>
  __device__ void each(int n, const Use& use) {
#pragma unroll
    for (int i = 0; i < kNormFours; ++i)
      if (index(i) < n)
#pragma unroll
        for (int j = 0; j < 4; ++j) use(x[i][j], index(i) + j);
  }
};

// out[row] = norm(x[row]) * weight + bias, times the next matrix's input scale where it has one. One block a row.
__global__ void __launch_bounds__(kNormThreads)
    norm_rows(const float* x, NormWeights w, const float* input_scale, int n, Number number, uint16_t* out) {
  await_previous();
  __shared__ float scratch[kWarp];
  RowInRegisters row(x + static_cast<size_t>(blockIdx.x) * n, n);
  row.standardize(n, w.kind, w.eps, scratch);
  out += static_cast<size_t>(blockIdx.x) * n;
  row.each(n, [&](float value, int i) {
    float y = value * w.weight[i];
    if (w.bias != nullptr) y += w.bias[i];
    if (input_scale != nullptr) y *= input_scale[i];
    out[i] = to_number(y, number);
  });
}

// residual[row] += norm(step[row]) * weight: the second norm of a part of Gemma 2. One block a row.
__global__ void __launch_bounds__(kNormThreads)
    add_normed_rows(const float* step, NormWeights w, int n, float* residual) {
  await_previous();
  __shared__ float scratch[kWarp];
  RowInRegisters row(step + static_cast<size_t>(blockIdx.x) * n, n);
  row.standardize(n, w.kind, w.eps, scratch);
  residual += static_cast<size_t>(blockIdx.x) * n;
  row.each(n, [&](float value, int i) {
    const float y = value * w.weight[i];
    residual[i] += w.bias != nullptr ? y + w.bias[i] : y;
  });
}

} // namespace tinychat::cuda
