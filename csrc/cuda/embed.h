// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the embedding kernel is told.
#pragma once

#include "cuda/step.h"
#include "decoder/model.h"

namespace tinychat::cuda {

struct Angles {
  const float* frequencies; // [half], radians a position
  int half;
  float *cosines, *sines; // [rows][half]
};

struct Embedding {
  const Step* step;
  Linear tokens;    // [vocab][hidden]
  Linear positions; // learned, or absent
  float scale;      // of the tokens' rows
  int offset;       // of learned positions
  float* residual;  // [rows][hidden]
  Angles angles, local_angles;
  float angle_scale; // of cos and sin
};

} // namespace tinychat::cuda
