// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace tinychat {

// Bytes per second at which `threads` threads together read a buffer of `bytes`, each its own part, front to back: what
// decoding a token could at most reach. The median of `rounds`, after one that is not counted.
double read_bandwidth(size_t bytes, int threads, int rounds);

} // namespace tinychat
