// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Launches of kernels, each checked.
#pragma once

#include <cuda_runtime.h>

#include "cuda/primitives/check.h"

namespace tinychat::cuda {

// Where kernels go. `overlap`: they wait for the one before by themselves (await_previous), so they may be placed early.
struct Queue {
  cudaStream_t stream = nullptr;
  bool overlap = false;
  int multiprocessors = 1;
};

template <typename... Params, typename... Args>
void launch(const Queue& queue, void (*kernel)(Params...), dim3 grid, int threads, Args... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.stream = queue.stream;
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = queue.overlap ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...), "launching a kernel");
}

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

} // namespace tinychat::cuda
