// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The residual stream's beginning: embedding rows, learned positions, and the angles of rotary positions.
#pragma once

#include "cuda/elementwise/embed.h"
#include "cuda/elementwise/weight.cuh"
#include "cuda/primitives/dtype.cuh"
#include "cuda/primitives/pdl.cuh"

namespace tinychat::cuda {

constexpr int kEmbedThreads = 256;

// In float, and with the full range of cosf, as the references compute them: positions go to 131072.
__device__ inline void turn(const Angles& angles, int row, int position, float scale) {
  for (int i = threadIdx.x; i < angles.half; i += kEmbedThreads) {
    const float angle = static_cast<float>(position) * angles.frequencies[i];
    angles.cosines[row * angles.half + i] = cosf(angle) * scale;
    angles.sines[row * angles.half + i] = sinf(angle) * scale;
  }
}

// One block a row.
__global__ void __launch_bounds__(kEmbedThreads) embed_rows(Embedding e) {
  await_previous();
  const int row = blockIdx.x, position = e.step->position + row, token = e.step->tokens[row];
  float* out = e.residual + static_cast<size_t>(row) * e.hidden;
  for (int i = threadIdx.x; i < e.hidden; i += kEmbedThreads) {
    float x = e.to_project == nullptr ? weight_at(e.tokens, token, i) * e.scale : 0.0f;
    if (e.positions.weight != nullptr) x += weight_at(e.positions, position + e.offset, i);
    out[i] = x;
  }
  if (e.to_project != nullptr) {
    uint16_t* to = e.to_project + static_cast<size_t>(row) * e.tokens.cols;
    for (int i = threadIdx.x; i < e.tokens.cols; i += kEmbedThreads)
      to[i] = to_number(weight_at(e.tokens, token, i) * e.scale, e.number);
  }
  turn(e.angles, row, position, e.angle_scale);
  turn(e.local_angles, row, position, e.angle_scale);
}

} // namespace tinychat::cuda
