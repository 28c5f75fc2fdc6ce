// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Which instance of the product a matrix takes.
#pragma once

#include "cuda/product_few.cuh"
#include "cuda/product_many.cuh"

namespace tinychat::cuda {

template <template <Number> class Format, Number kNumber, int kTiles, int kScaled>
void multiply_many_in(const Queue& queue, const Product& p) {
  launch(queue, multiply_many<Format, kNumber, kTiles, kScaled>,
         dim3(ceil_div(p.w.tiles(), kProductWarps * kTiles), ceil_div(p.rows, kMany)), kProductThreads, p);
}

template <Number kNumber>
void multiply_with(const Queue& queue, const Product& p) {
  const bool few = p.rows <= kFew;
  const auto one = [&](auto kernel) { launch(queue, kernel, dim3(p.w.tiles()), kProductThreads, p); };
  switch (p.w.format) {
    case WeightFormat::kW4Zero:
    case WeightFormat::kW4Min:
      if (few && p.w.group % kStretch == 0)
        return one(p.w.mins == nullptr ? multiply_few<Four, kNumber, kStretch, false>
                                       : multiply_few<Four, kNumber, kStretch, true>);
      if (few)
        return one(p.w.mins == nullptr ? multiply_few<Four, kNumber, 32, false>
                                       : multiply_few<Four, kNumber, 32, true>);
      if (p.w.group % kStage == 0) return multiply_many_in<Four, kNumber, 2, kStage>(queue, p);
      return multiply_many_in<Four, kNumber, 2, 32>(queue, p);
    case WeightFormat::kW8Group:
    case WeightFormat::kW8Channel:
      return few ? one(multiply_few<Eight, kNumber, 32, false>) : multiply_many_in<Eight, kNumber, 2, 32>(queue, p);
    case WeightFormat::kF16:
    case WeightFormat::kBf16:
      return few ? one(multiply_few<Sixteen, kNumber, 32, false>) : multiply_many_in<Sixteen, kNumber, 1, 32>(queue, p);
  }
}

} // namespace tinychat::cuda
