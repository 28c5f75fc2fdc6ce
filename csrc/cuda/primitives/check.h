// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Every result of the CUDA runtime is checked: an error becomes a DeviceError that says what to do.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "decoder/backend.h"

namespace tinychat::cuda {

// One line for the user. `what` completes "not enough memory for …" and "failed at …".
std::string explain(cudaError_t error, const std::string& what);

inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError(); // clears errors that are not sticky
  throw DeviceError(explain(error, what));
}

} // namespace tinychat::cuda
