// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cuda/primitives/check.h"

namespace tinychat::cuda {

std::string explain(cudaError_t error, const std::string& what) {
  switch (error) {
    case cudaErrorNoDevice: return "there is no CUDA device; use the backend cpu";
    case cudaErrorInsufficientDriver:
      return "the NVIDIA driver is missing or older than CUDA " + std::to_string(CUDART_VERSION / 1000) + "." +
             std::to_string(CUDART_VERSION % 1000 / 10) + ", which this build needs; update it or use the backend cpu";
    case cudaErrorMemoryAllocation:
      return "the CUDA device has not enough memory for " + what +
             "; use a smaller max_seq_len or model, or the backend cpu";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return "this build has no CUDA code for the device; build again with TINYCHAT_CUDA_ARCHS=native";
    default:
      return "the CUDA device failed at " + what + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) +
             ")";
  }
}

} // namespace tinychat::cuda
