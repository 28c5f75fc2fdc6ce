// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Kernel launches, each checked.
#pragma once

#include <cuda_runtime.h>

#include "cuda/primitives/check.h"

namespace tinychat::cuda {

// How kernels are launched. `pdl`: a kernel may be placed early, because it waits for the previous one itself (pdl_wait).
struct LaunchContext {
  cudaStream_t stream = nullptr;
  bool pdl = false;
  int multiprocessors = 1;
};

template <typename... Params, typename... Args>
void launch(const LaunchContext& context, void (*kernel)(Params...), dim3 grid, int threads, Args... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.stream = context.stream;
  cudaLaunchAttribute pdl = {};
  pdl.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  pdl.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &pdl;
  config.numAttrs = context.pdl ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...), "launching a kernel");
}

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

} // namespace tinychat::cuda
