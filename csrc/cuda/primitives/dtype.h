// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The types of activations.
#pragma once

#include <cstdint>

namespace tinychat::cuda {

enum class DType : int32_t { kFp16, kBf16, kInt8 };

} // namespace tinychat::cuda
