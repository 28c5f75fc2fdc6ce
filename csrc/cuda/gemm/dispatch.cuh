// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Which instance of the product a matrix takes.
#pragma once

#include <algorithm>

#include "cuda/gemm/gemm_large_m.cuh"
#include "cuda/gemm/gemm_small_m.cuh"

namespace tinychat::cuda {

constexpr int kMostEights = 3; // of tokens for which the weights are read again: more take the other kernel

template <template <Number> class Format, Number kNumber, int kScaled>
void many(const Queue& queue, const Product& p) {
  launch(queue, multiply_many<Format, kNumber, kScaled>, dim3(ceil_div(p.rows, kMany), many_blocks(p)), kManyThreads,
         p);
}

template <template <Number> class Format, Number kNumber, int kScaled, int kTiles, bool kNormed, int kThreads>
void few(const Queue& queue, const Product& p) {
  const int blocks = std::min(p.w.tiles() / kTiles, few_blocks(kThreads) * queue.multiprocessors);
  launch(queue, multiply_few<Format, kNumber, kScaled, kTiles, kNormed, kThreads>, dim3(blocks, ceil_div(p.rows, kFew)),
         kThreads, p);
}

// kFewScaled, kManyScaled: columns that surely share their scales.
template <template <Number> class Format, Number kNumber, int kFewScaled, int kManyScaled>
void multiply_in(const Queue& queue, const Product& p) {
  if (p.rows > kMostEights * kFew) return many<Format, kNumber, kManyScaled>(queue, p);
  if constexpr (kFewScaled != 64) { // makes_norm()
    if (p.normed.x != nullptr)
      return p.activated.gated ? few<Format, kNumber, kFewScaled, 2, true, 256>(queue, p)
                               : few<Format, kNumber, kFewScaled, 1, true, 256>(queue, p);
  }
  if (p.activated.gated) return few<Format, kNumber, kFewScaled, 2, false, 256>(queue, p);
  // Where there is a tile for fewer blocks than fit, each has more warps.
  p.w.tiles() > few_blocks(320) * queue.multiprocessors ? few<Format, kNumber, kFewScaled, 1, false, 256>(queue, p)
                                                        : few<Format, kNumber, kFewScaled, 1, false, 320>(queue, p);
}

// What makes no norm, and is not tuned, takes what is always right, so that less has to be compiled.
template <template <Number> class Format, Number kNumber, int kScaled>
void multiply_few_ways(const Queue& queue, const Product& p) {
  if (p.rows > kMostEights * kFew) return many<Format, kNumber, kScaled>(queue, p);
  p.activated.gated ? few<Format, kNumber, kScaled, 2, false, 256>(queue, p)
                    : few<Format, kNumber, kScaled, 1, false, 256>(queue, p);
}

} // namespace tinychat::cuda
