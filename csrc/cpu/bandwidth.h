// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace tinychat {

// Returns the bytes per second at which `threads` threads together read a buffer of `bytes` bytes; each thread reads its own
// part sequentially. This is the upper limit for decoding. The median of `rounds` rounds, after a warm-up round.
double read_bandwidth(size_t bytes, int threads, int rounds);

} // namespace tinychat
