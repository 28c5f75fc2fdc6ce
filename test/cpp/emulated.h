// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A set that every machine can run: the arithmetic around bf16 pairs and tiles, over plain loops (emulated_tiles.h).
#pragma once

#include "cpu/isa.h"

namespace tinychat {
extern const Kernels kernels_emulated_tiles;
}

const tinychat::Isa kEmulatedTiles = {"emulated tiles", &tinychat::kernels_emulated_tiles, [] { return true; }};
