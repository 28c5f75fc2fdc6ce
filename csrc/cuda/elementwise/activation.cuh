// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The MLP's activation function.
#pragma once

#include <cuda_runtime.h>

#include "decoder/model.h"

namespace tinychat::cuda {

__device__ inline float activation(Activation kind, float x) {
  switch (kind) {
    case Activation::kSilu: return x / (1.0f + expf(-x));
    case Activation::kGelu: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case Activation::kGeluTanh: return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case Activation::kRelu: return x > 0.0f ? x : 0.0f;
  }
  return x;
}

} // namespace tinychat::cuda
