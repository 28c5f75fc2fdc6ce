// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Moves the rows of tokens with outputs to the front.
#pragma once

#include "cuda/primitives/forward_params.h"
#include "cuda/primitives/pdl.cuh"

namespace tinychat::cuda {

constexpr int kCompactThreads = 256;

// Rows of the residual [num_tokens][hidden] and of the attention [num_tokens][width]: row i = row outputs[i].token. A thread
// moves one column, row after row. Since outputs[i].token >= i and both grow, no row is overwritten before it is read.
__global__ void __launch_bounds__(kCompactThreads)
    compact_rows(const OutputParams* outputs, int num_outputs, float* residual, int hidden, uint16_t* attention,
                 int width) {
  pdl_wait();
  const int column = blockIdx.x * kCompactThreads + threadIdx.x;
  for (int i = 0; i < num_outputs; ++i) {
    const size_t from = outputs[i].token;
    if (column < hidden) residual[static_cast<size_t>(i) * hidden + column] = residual[from * hidden + column];
    else if (column - hidden < width)
      attention[static_cast<size_t>(i) * width + column - hidden] = attention[from * width + column - hidden];
  }
}

} // namespace tinychat::cuda
