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
  bool (*supported)(); // by the CPU that this runs on
};

// What this library was compiled with, best first; `generic` is always the last.
const std::vector<Isa>& compiled_isas();

// The named set, or the best that the CPU supports where `name` is empty.
// Throws std::invalid_argument for an unknown name or a set that the CPU lacks.
const Isa& choose_isa(const std::string& name);

} // namespace tinychat
