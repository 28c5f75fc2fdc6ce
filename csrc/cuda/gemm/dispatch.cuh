// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Chooses the kernel instance for a matrix.
#pragma once

#include <algorithm>

#include "cuda/gemm/gemm_large_m.cuh"
#include "cuda/gemm/gemm_small_m.cuh"

namespace tinychat::cuda {

constexpr int kMaxSmallMBlocks = 3; // up to 24 tokens re-read the weights once per 8; more take gemm_large_m

template <template <DType> class Format, DType kDType, int kScaled>
void launch_large_m(const LaunchContext& context, const Gemm& p) {
  launch(context, gemm_large_m<Format, kDType, kScaled>, dim3(ceil_div(p.num_tokens, kLargeM), large_m_blocks(p)),
         kLargeMThreads, p);
}

template <template <DType> class Format, DType kDType, int kScaled, int kTiles, bool kNormed, int kThreads>
void launch_small_m(const LaunchContext& context, const Gemm& p) {
  const int blocks = std::min(p.w.tiles() / kTiles, small_m_blocks(kThreads) * context.multiprocessors);
  launch(context, gemm_small_m<Format, kDType, kScaled, kTiles, kNormed, kThreads>,
         dim3(blocks, ceil_div(p.num_tokens, kSmallM)), kThreads, p);
}

// kSmallMScaled, kLargeMScaled: columns that are known to share their scales.
template <template <DType> class Format, DType kDType, int kSmallMScaled, int kLargeMScaled>
void dispatch(const LaunchContext& context, const Gemm& p) {
  if (p.num_tokens > kMaxSmallMBlocks * kSmallM) return launch_large_m<Format, kDType, kLargeMScaled>(context, p);
  if constexpr (kSmallMScaled != 64) { // fuses_norm()
    if (p.normed.x != nullptr)
      return p.activated.gated ? launch_small_m<Format, kDType, kSmallMScaled, 2, true, 256>(context, p)
                               : launch_small_m<Format, kDType, kSmallMScaled, 1, true, 256>(context, p);
  }
  if (p.activated.gated) return launch_small_m<Format, kDType, kSmallMScaled, 2, false, 256>(context, p);
  // With fewer tiles than resident blocks, each block gets more warps.
  p.w.tiles() > small_m_blocks(320) * context.multiprocessors
      ? launch_small_m<Format, kDType, kSmallMScaled, 1, false, 256>(context, p)
      : launch_small_m<Format, kDType, kSmallMScaled, 1, false, 320>(context, p);
}

// Formats that fuse no norm and are not tuned use the instance that fits every shape, to save compile time.
template <template <DType> class Format, DType kDType, int kScaled>
void dispatch_untuned(const LaunchContext& context, const Gemm& p) {
  if (p.num_tokens > kMaxSmallMBlocks * kSmallM) return launch_large_m<Format, kDType, kScaled>(context, p);
  p.activated.gated ? launch_small_m<Format, kDType, kScaled, 2, false, 256>(context, p)
                    : launch_small_m<Format, kDType, kScaled, 1, false, 256>(context, p);
}

} // namespace tinychat::cuda
