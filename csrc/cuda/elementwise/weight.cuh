// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// One element of a weight matrix in any format, for embedding rows. GEMM kernels read whole tiles.
#pragma once

#include "cuda/primitives/dtype.cuh"
#include "decoder/model.h"

namespace tinychat::cuda {

__device__ inline float weight_at(const Linear& w, int row, int col) {
  const size_t tile = row / 16, lane = row % 16, cols = w.cols;
  if (w.format == WeightFormat::kF16 || w.format == WeightFormat::kBf16) {
    const uint16_t bits = reinterpret_cast<const uint16_t*>(w.weight)[(tile * cols + col) * 16 + lane];
    return w.format == WeightFormat::kF16 ? from_half(bits) : from_bf16(bits);
  }
  if (w.format == WeightFormat::kW8Channel)
    return w.channel_scales[row] *
           static_cast<float>(static_cast<int8_t>(w.weight[(tile * (cols / 4) + col / 4) * 64 + lane * 4 + col % 4]));
  const size_t group = tile * (cols / w.group) + col / w.group;
  const float scale = from_half(w.scales[group * 16 + lane]);
  if (w.format == WeightFormat::kW8Group)
    return scale *
           static_cast<float>(static_cast<int8_t>(w.weight[(tile * (cols / 4) + col / 4) * 64 + lane * 4 + col % 4]));
  const uint8_t pair = w.weight[(tile * (cols / 8) + col / 8) * 64 + lane * 4 + col % 4];
  const int q = col % 8 < 4 ? pair & 15 : pair >> 4;
  if (w.format == WeightFormat::kW4Min) return scale * static_cast<float>(q) + from_half(w.mins[group * 16 + lane]);
  const uint8_t zeros = w.zeros[group * 8 + lane % 8];
  return scale * static_cast<float>(q - (lane < 8 ? zeros & 15 : zeros >> 4));
}

} // namespace tinychat::cuda
