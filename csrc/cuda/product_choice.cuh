// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Which instance of the product a matrix takes.
#pragma once

#include <algorithm>

#include "cuda/product_few.cuh"
#include "cuda/product_many.cuh"

namespace tinychat::cuda {

constexpr int kMostEights = 3; // of tokens for which the weights are read again: more take the other kernel

// kFewScaled, kManyScaled: columns that surely share their scales.
template <template <Number> class Format, Number kNumber, int kFewScaled, int kManyScaled>
void multiply_in(const Queue& queue, const Product& p) {
  const int eights = ceil_div(p.rows, kFew);
  if (eights > kMostEights)
    return launch(queue, multiply_many<Format, kNumber, kManyScaled>, dim3(ceil_div(p.rows, kMany), many_blocks(p)),
                  kManyThreads, p);
  const auto few = [&](auto kernel, int threads, int tiles) {
    launch(queue, kernel, dim3(std::min(tiles, few_blocks(threads) * queue.multiprocessors), eights), threads, p);
  };
  const int tiles = p.w.tiles();
  if (p.normed.x != nullptr)
    return p.activated.gated ? few(multiply_few<Format, kNumber, kFewScaled, 2, true, 256>, 256, tiles / 2)
                             : few(multiply_few<Format, kNumber, kFewScaled, 1, true, 256>, 256, tiles);
  if (p.activated.gated) return few(multiply_few<Format, kNumber, kFewScaled, 2, false, 256>, 256, tiles / 2);
  // Where there is a tile for fewer blocks than fit, each has more warps.
  tiles > few_blocks(320) * queue.multiprocessors
      ? few(multiply_few<Format, kNumber, kFewScaled, 1, false, 256>, 256, tiles)
      : few(multiply_few<Format, kNumber, kFewScaled, 1, false, 320>, 320, tiles);
}

template <template <Number> class Format, Number kNumber>
void multiply_in_groups(const Queue& queue, const Product& p) {
  p.w.group == kStretch ? multiply_in<Format, kNumber, kStretch, kStage>(queue, p)
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
      if constexpr (kNumber == Number::kBf16) return multiply_in<SixteenRounded, kNumber, kStretch, kStage>(queue, p);
      [[fallthrough]];
    case WeightFormat::kBf16: return multiply_in<SixteenAsIs, kNumber, kStretch, kStage>(queue, p);
  }
}

} // namespace tinychat::cuda
