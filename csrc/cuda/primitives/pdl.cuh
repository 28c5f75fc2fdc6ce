// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Programmatic dependent launch: from compute capability 9.0 on a kernel may be placed on the device while the one before
// still runs, and waits for it here. Every kernel begins with it, before it reads or writes memory.
#pragma once

#include <cuda_runtime.h>

namespace tinychat::cuda {

__device__ inline void await_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && CUDART_VERSION >= 12030 // as can_overlap()
  cudaTriggerProgrammaticLaunchCompletion(); // the next kernel may be placed now; it waits for all of this one
  cudaGridDependencySynchronize();
#endif
}

} // namespace tinychat::cuda
