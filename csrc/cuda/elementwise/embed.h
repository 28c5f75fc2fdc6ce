// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Arguments of the embedding kernel.
#pragma once

#include "cuda/primitives/dtype.h"
#include "cuda/primitives/forward_params.h"
#include "decoder/model.h"

namespace tinychat::cuda {

struct RotaryTable {
  const float* frequencies; // [half], radians a position
  const int* axes;          // [half] the axis of the position that turns a pair (M-RoPE); null: the first one
  int half;
  float *cosines, *sines; // [num_tokens][half]
};

struct Embedding {
  const TokenParams* params;
  Linear tokens; // [vocab][width]; absent in an encoder
  int width;
  const float* rows; // [num_tokens][row_width] of the tokens without an id
  int row_width;     // width, and behind it what layers add (DeepStack)
  Linear positions;  // learned, or absent
  float scale;       // of the rows of `tokens`
  int offset;        // of learned positions
  float* residual;   // [num_tokens][hidden]
  int hidden;
  uint16_t* to_project; // [num_tokens][width]: input of a GEMM that adds to the residual; null: there is none
  DType dtype;          // of `to_project`
  RotaryTable rotary, local_rotary;
  float rotary_scale; // of cos and sin
};

// Part of an embedding row that is added after a layer.
struct Deepstack {
  const TokenParams* params;
  const float* rows; // [num_tokens][row_width] of the tokens without an id; the part begins at `first`
  int row_width, first;
  float* residual; // [num_tokens][hidden]
  int hidden;
};

} // namespace tinychat::cuda
