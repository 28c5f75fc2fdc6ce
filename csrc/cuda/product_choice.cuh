// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Which instance of the product a matrix takes.
#pragma once

#include "cuda/product_few.cuh"
#include "cuda/product_many.cuh"

namespace tinychat::cuda {

constexpr int kFewBlocks = 3; // eights of tokens for which the weights are read again: more take the other kernel

// kFewScaled, kManyScaled: columns that surely share their scales.
template <template <Number> class Format, Number kNumber, int kFewScaled, int kManyScaled>
void multiply_in(const Queue& queue, const Product& p) {
  const int eights = ceil_div(p.rows, kFew);
  if (eights > kFewBlocks)
    return launch(queue, multiply_many<Format, kNumber, kManyScaled>, dim3(many_blocks(p), ceil_div(p.rows, kMany)),
                  kManyThreads, p);
  if (p.activated.gated)
    return launch(queue, multiply_few<Format, kNumber, kFewScaled, 2>, dim3(p.w.tiles() / 2, eights), kFewThreads, p);
  launch(queue, multiply_few<Format, kNumber, kFewScaled, 1>, dim3(p.w.tiles(), eights), kFewThreads, p);
}

template <template <Number> class Format, Number kNumber>
void multiply_in_groups(const Queue& queue, const Product& p) {
  p.w.group % kStretch == 0 ? multiply_in<Format, kNumber, kStretch, kStage>(queue, p)
                            : multiply_in<Format, kNumber, 32, 32>(queue, p);
}

template <Number kNumber>
void multiply_with(const Queue& queue, const Product& p) {
  switch (p.w.format) {
    case WeightFormat::kW4Zero: return multiply_in_groups<FourZero, kNumber>(queue, p);
    case WeightFormat::kW4Min: return multiply_in_groups<FourMin, kNumber>(queue, p);
    case WeightFormat::kW8Group: return multiply_in<Eight, kNumber, 32, 32>(queue, p);
    case WeightFormat::kW8Channel: return multiply_in<Eight, kNumber, kStretch, kStage>(queue, p);
    case WeightFormat::kF16:
      if (kNumber == Number::kBf16) return multiply_in<SixteenRounded, kNumber, kStretch, kStage>(queue, p);
      [[fallthrough]];
    case WeightFormat::kBf16: return multiply_in<SixteenAsIs, kNumber, kStretch, kStage>(queue, p);
  }
}

} // namespace tinychat::cuda
