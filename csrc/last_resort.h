// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A process that a signal does not end must be killed from outside. Python's own timers cannot do it: they need the
// interpreter lock, which something may hold, and they stop when the interpreter ends.
#pragma once

#include <string>
#include <vector>

namespace tinychat {

// Exits the process with code 1, after `message` on stderr, `seconds` after the first of `signals`. The handlers that
// these signals have are still called. To be called once; throws std::invalid_argument for a signal without a handler,
// std::system_error.
void exit_after_signal(const std::vector<int>& signals, double seconds, const std::string& message);

} // namespace tinychat
