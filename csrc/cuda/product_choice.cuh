// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Which instance of the product a matrix takes.
#pragma once

#include "cuda/product_kernel.cuh"

namespace tinychat::cuda {

constexpr int kFew = 8, kMany = 64; // tokens of a block

template <template <Number> class Format, Number kNumber, int kScaled>
void multiply_in(const Queue& queue, const Product& p) {
  const int tiles = p.w.tiles();
  if (p.rows <= kFew)
    launch(queue, multiply_tiled<Format, kNumber, kFew, true, kScaled>, dim3(tiles), kProductThreads, p);
  else
    launch(queue, multiply_tiled<Format, kNumber, kMany, false, kScaled>,
           dim3(ceil_div(tiles, kProductWarps), ceil_div(p.rows, kMany)), kProductThreads, p);
}

template <Number kNumber>
void multiply_with(const Queue& queue, const Product& p) {
  switch (p.w.format) {
    case WeightFormat::kW4Zero:
    case WeightFormat::kW4Min:
      if (p.w.group % kStretch == 0) return multiply_in<Four, kNumber, kStretch>(queue, p);
      return multiply_in<Four, kNumber, 32>(queue, p);
    case WeightFormat::kW8Group:
    case WeightFormat::kW8Channel: return multiply_in<Eight, kNumber, 32>(queue, p);
    case WeightFormat::kF16:
    case WeightFormat::kBf16: return multiply_in<Sixteen, kNumber, 32>(queue, p);
  }
}

} // namespace tinychat::cuda
