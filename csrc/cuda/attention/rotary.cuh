// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Prepares a head of a query or key: its norm (Qwen 3), rotation (Su et al., 2021) and scale.
#pragma once

#include "cuda/primitives/reduce.cuh"

namespace tinychat::cuda {

// out [dim] = rotated(norm(x)) * scale, by one warp; `norm` [dim] may be null. The pairs are (i, i + half), as in Hugging
// Face's models; channels from 2*half on are not rotated. `out` may be `x`: a lane writes only what it alone has read.
__device__ inline void prepare_head(const float* x, const float* norm, float eps, const float* cosines,
                                    const float* sines, int half, int dim, float scale, float* out) {
  const int lane = threadIdx.x % kWarp;
  float factor = scale;
  if (norm != nullptr) {
    float squares = 0;
    for (int d = lane; d < dim; d += kWarp) squares += x[d] * x[d];
    factor *= rsqrtf(sum_lanes(squares) / static_cast<float>(dim) + eps);
  }
  const auto value = [&](int d) { return x[d] * factor * (norm != nullptr ? norm[d] : 1.0f); };
  for (int i = lane; i < half; i += kWarp) {
    const float a = value(i), b = value(i + half);
    out[i] = a * cosines[i] - b * sines[i];
    out[i + half] = b * cosines[i] + a * sines[i];
  }
  for (int d = 2 * half + lane; d < dim; d += kWarp) out[d] = value(d);
}

} // namespace tinychat::cuda
