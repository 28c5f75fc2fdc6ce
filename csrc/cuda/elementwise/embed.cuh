// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The start of the residual stream: embedding rows and learned positions; and the angles of rotary positions.
#pragma once

#include "cuda/elementwise/embed.h"
#include "cuda/elementwise/weight.cuh"
#include "cuda/primitives/dtype.cuh"
#include "cuda/primitives/pdl.cuh"

namespace tinychat::cuda {

constexpr int kEmbedThreads = 256;

// In float and with the full range of cosf, as the references compute them: positions reach 131072.
__device__ inline void fill_rotary_table(const RotaryTable& table, int row, const TokenParams& token, float scale) {
  for (int i = threadIdx.x; i < table.half; i += kEmbedThreads) {
    const int position = token.position[table.axes != nullptr ? table.axes[i] : 0];
    const float angle = static_cast<float>(position) * table.frequencies[i];
    table.cosines[row * table.half + i] = cosf(angle) * scale;
    table.sines[row * table.half + i] = sinf(angle) * scale;
  }
}

// One block a token.
__global__ void __launch_bounds__(kEmbedThreads) embed_tokens(Embedding e) {
  pdl_wait();
  const int row = blockIdx.x, width = e.width;
  const TokenParams& token = e.params[row];
  const auto embedding_at = [&](int i) {
    return token.id >= 0 ? weight_at(e.tokens, token.id, i) * e.scale
                         : e.rows[static_cast<size_t>(row) * e.row_width + i];
  };
  float* out = e.residual + static_cast<size_t>(row) * e.hidden;
  for (int i = threadIdx.x; i < e.hidden; i += kEmbedThreads) {
    float x = e.to_project == nullptr ? embedding_at(i) : 0.0f;
    if (e.positions.weight != nullptr) x += weight_at(e.positions, token.position[0] + e.offset, i);
    out[i] = x;
  }
  if (e.to_project != nullptr) {
    uint16_t* to = e.to_project + static_cast<size_t>(row) * width;
    for (int i = threadIdx.x; i < width; i += kEmbedThreads) to[i] = to_dtype(embedding_at(i), e.dtype);
  }
  fill_rotary_table(e.rotary, row, token, e.rotary_scale);
  fill_rotary_table(e.local_rotary, row, token, e.rotary_scale);
}

// One block a token.
__global__ void __launch_bounds__(kEmbedThreads) add_deepstack_rows(Deepstack d) {
  pdl_wait();
  const size_t row = blockIdx.x;
  if (d.params[row].id >= 0) return;
  const float* part = d.rows + row * d.row_width + d.first;
  for (int i = threadIdx.x; i < d.hidden; i += kEmbedThreads) d.residual[row * d.hidden + i] += part[i];
}

} // namespace tinychat::cuda
