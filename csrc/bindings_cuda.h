// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Python access to the CUDA library without a model, and the copying of weight files to the device.
#pragma once

#include <pybind11/pybind11.h>

#include <functional>

#include "cuda_api/library.h"

namespace tinychat {

// Calls the Python function, which is None or takes a WeightMemory, with the GIL; what it raises comes out.
std::function<void(WeightMemory&)> placing(const pybind11::object& function);

void bind_cuda(pybind11::module_& m);

} // namespace tinychat
