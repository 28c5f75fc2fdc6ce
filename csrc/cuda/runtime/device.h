// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The device: whether it can be used, and how.
#pragma once

#include "cuda_api/library.h"

namespace tinychat::cuda {

// Whether kernels may be placed while the one before still runs, also in a graph.
bool can_overlap(const CudaDevice& device);

// Throws DeviceError where this build has no code for the device.
void check_code();

} // namespace tinychat::cuda
