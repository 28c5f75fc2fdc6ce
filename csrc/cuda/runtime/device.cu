// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include <cuda_runtime.h>

#include "cuda/primitives/check.h"
#include "cuda/runtime/device.h"

namespace tinychat::cuda {
namespace {

__global__ void nothing() {}

} // namespace

bool supports_pdl(const CudaDevice& device) {
  // Before CUDA 12.3 a graph does not keep the launch attribute.
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "asking the driver");
  return device.major >= 9 && CUDART_VERSION >= 12030 && driver >= 12030;
}

void check_code() {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, nothing), "looking for code");
}

} // namespace tinychat::cuda
