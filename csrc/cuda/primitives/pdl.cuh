// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Programmatic dependent launch (PDL): from compute capability 9.0 on, a kernel may be placed on the device while the previous
// one still runs, and waits for it here. Every kernel calls this before it reads or writes what another kernel touches.
#pragma once

#include <cuda_runtime.h>

namespace tinychat::cuda {

__device__ inline void pdl_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && CUDART_VERSION >= 12030 // as supports_pdl()
  cudaTriggerProgrammaticLaunchCompletion(); // the next kernel may be placed now; it waits until this one has ended
  cudaGridDependencySynchronize();
#endif
}

} // namespace tinychat::cuda
