// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What activations are.
#pragma once

#include <cstdint>

namespace tinychat::cuda {

enum class Number : int32_t { kHalf, kBf16, kBytes };

} // namespace tinychat::cuda
