// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace tinychat {

struct Isa {
  const char* name;
  const Kernels* kernels;
  bool (*supported)(); // by this CPU
};

// The instruction sets that this library was compiled for, best first; `generic` is always the last.
const std::vector<Isa>& compiled_isas();

// Returns the named set, or the best one that the CPU supports if `name` is empty.
// Throws std::invalid_argument for an unknown name or a set that the CPU lacks.
const Isa& choose_isa(const std::string& name);

} // namespace tinychat
