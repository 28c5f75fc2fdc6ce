// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What Python asks of the CUDA library without a model.
#pragma once

#include <pybind11/pybind11.h>

namespace tinychat {

void bind_cuda(pybind11::module_& m);

} // namespace tinychat
