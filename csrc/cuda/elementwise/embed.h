// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the embedding kernel is told.
#pragma once

#include "cuda/primitives/dtype.h"
#include "cuda/primitives/forward_params.h"
#include "decoder/model.h"

namespace tinychat::cuda {

struct Angles {
  const float* frequencies; // [half], radians a position
  int half;
  float *cosines, *sines; // [rows][half]
};

struct Embedding {
  const Step* step;
  Linear tokens;    // [vocab][width]
  Linear positions; // learned, or absent
  float scale;      // of the tokens' rows
  int offset;       // of learned positions
  float* residual;  // [rows][hidden]
  int hidden;
  uint16_t* to_project; // [rows][width]: where tokens go that a product adds to the residual; or null: there is none
  Number number;        // of what goes to it
  Angles angles, local_angles;
  float angle_scale; // of cos and sin
};

} // namespace tinychat::cuda
