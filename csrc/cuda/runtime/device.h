// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the device supports.
#pragma once

#include "cuda_api/library.h"

namespace tinychat::cuda {

// Whether programmatic dependent launch works, also in a graph.
bool supports_pdl(const CudaDevice& device);

// Throws DeviceError where this build has no code for the device.
void check_code();

} // namespace tinychat::cuda
