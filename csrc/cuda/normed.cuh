// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The norm of one token, as a product makes it for itself.
#pragma once

#include "cuda/kernels.h"
#include "cuda/number.cuh"
#include "cuda/pair.cuh"
#include "cuda/reduce.cuh"

namespace tinychat::cuda {

// out [n] = a row as norm_rows() makes it, by the whole block, whose registers are needed for other things.
__device__ inline void norm_by_block(const Normed& p, int n, Number number, uint16_t* out) {
  __shared__ float scratch[kWarp];
  const auto four = [&](const float* from, int i) { return *reinterpret_cast<const float4*>(from + i); };
  float mean = 0, sum = 0;
  if (p.w.kind == Norm::kLayer) {
    for (int i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) {
      const float4 x = four(p.x, i);
      sum += x.x + x.y + x.z + x.w;
    }
    mean = sum_block(sum, scratch) / static_cast<float>(n);
    sum = 0;
  }
  for (int i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) {
    const float4 x = four(p.x, i);
    const float a = x.x - mean, b = x.y - mean, c = x.z - mean, d = x.w - mean;
    sum += a * a + b * b + c * c + d * d;
  }
  const float factor = rsqrtf(sum_block(sum, scratch) / static_cast<float>(n) + p.w.eps);
  for (int i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) {
    const float4 x = four(p.x, i), w = four(p.w.weight, i);
    float y[4] = {(x.x - mean) * factor * w.x, (x.y - mean) * factor * w.y, (x.z - mean) * factor * w.z,
                  (x.w - mean) * factor * w.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (p.w.bias != nullptr) y[j] += p.w.bias[i + j];
      if (p.input_scale != nullptr) y[j] *= p.input_scale[i + j];
    }
    *reinterpret_cast<uint2*>(out + i) = uint2{pair(to_number(y[0], number), to_number(y[1], number)),
                                               pair(to_number(y[2], number), to_number(y[3], number))};
  }
  __syncthreads();
}

} // namespace tinychat::cuda
