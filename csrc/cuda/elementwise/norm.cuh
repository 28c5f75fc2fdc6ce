// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// RMSNorm (Zhang and Sennrich, 2019) and LayerNorm of a row of floats by a whole block: in a kernel of its own, or fused into
// the GEMV of a single token. The GEMV needs the registers, so the row is re-read for each use, from the L1 cache.
#pragma once

#include "cuda/elementwise/elementwise.h"
#include "cuda/primitives/dtype.cuh"
#include "cuda/primitives/pair.cuh"
#include "cuda/primitives/reduce.cuh"

namespace tinychat::cuda {

// A row of n numbers, n a multiple of 4; all threads of the block construct one.
class NormedRow {
 public:
  __device__ NormedRow(const Normed& p, int n) : p_(p) {
    __shared__ float scratch[kWarp];
    float sum = 0;
    if (p.w.kind == Norm::kLayer) {
      for (int i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) {
        const float4 x = four(p.x, i);
        sum += x.x + x.y + x.z + x.w;
      }
      mean_ = sum_block(sum, scratch) / static_cast<float>(n);
      sum = 0;
    }
    for (int i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) {
      const float4 x = four(p.x, i);
      const float a = x.x - mean_, b = x.y - mean_, c = x.z - mean_, d = x.w - mean_;
      sum += a * a + b * b + c * c + d * d;
    }
    factor_ = rsqrtf(sum_block(sum, scratch) / static_cast<float>(n) + p.w.eps);
  }

  // Numbers i … i + 3: standardized, times the norm's weight, plus its bias, times the input scale of the next matrix.
  __device__ float4 at(int i) const {
    const float4 x = four(p_.x, i), w = four(p_.w.weight, i);
    float y[4] = {(x.x - mean_) * factor_ * w.x, (x.y - mean_) * factor_ * w.y, (x.z - mean_) * factor_ * w.z,
                  (x.w - mean_) * factor_ * w.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (p_.w.bias != nullptr) y[j] += p_.w.bias[i + j];
      if (p_.input_scale != nullptr) y[j] *= p_.input_scale[i + j];
    }
    return float4{y[0], y[1], y[2], y[3]};
  }

 private:
  __device__ static float4 four(const float* from, int i) { return *reinterpret_cast<const float4*>(from + i); }

  const Normed& p_;
  float mean_ = 0, factor_;
};

// out [n] = row, converted to `dtype`; other threads may read it after a barrier.
template <typename Row>
__device__ inline void put_row(const Row& row, int n, DType dtype, uint16_t* out) {
  for (int i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) {
    const float4 y = row.at(i);
    *reinterpret_cast<uint2*>(out + i) = uint2{pair(to_dtype(y.x, dtype), to_dtype(y.y, dtype)),
                                               pair(to_dtype(y.z, dtype), to_dtype(y.w, dtype))};
  }
}

__device__ inline void norm_row(const Normed& p, int n, DType dtype, uint16_t* out) {
  put_row(NormedRow(p, n), n, dtype, out);
}

} // namespace tinychat::cuda
