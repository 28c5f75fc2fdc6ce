// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "decoder/model.h"

namespace tinychat {

// out[cols] = row `row` of the matrix. An embedding is an ordinary matrix, and a tied head reads the same bytes.
void read_row(const Linear& w, int row, float* out);

} // namespace tinychat
