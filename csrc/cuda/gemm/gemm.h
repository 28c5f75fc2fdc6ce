// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Host functions of the matrix products: each enqueues its launches.
#pragma once

#include "cuda/elementwise/elementwise.h"
#include "cuda/primitives/launch.h"
#include "decoder/model.h"

namespace tinychat::cuda {

constexpr int kMaxFusedNorm = 8192; // widest token whose norm a GEMV can fuse

// out [num_tokens][out_features] (+)= x [num_tokens][in_features] * W^T + bias; or its activation, into `activated`.
struct Gemm {
  Linear w;
  const void* x; // of `dtype`
  DType dtype;
  int num_tokens;
  float* out;
  bool add;
  Activated activated = {};
  Normed normed = {};              // a single token to be normed, instead of x
  const float* x_scales = nullptr; // of int8: [num_tokens][in_features / w.group]
};
// Whether a GEMV can fuse the norm of its token. With groups of 64 there are no registers left for it.
inline bool fuses_norm(const Linear& w, DType dtype) {
  return w.cols <= kMaxFusedNorm && !(w.format == WeightFormat::kW4Zero && w.group == 64) &&
         (dtype == DType::kFp16 || w.format == WeightFormat::kBf16);
}
void gemm_fp16(const LaunchContext& context, const Gemm& g);
void gemm_bf16(const LaunchContext& context, const Gemm& g);
void gemm_int8(const LaunchContext& context, const Gemm& g); // W8A8
inline void gemm(const LaunchContext& context, const Gemm& g) {
  switch (g.dtype) {
    case DType::kFp16: return gemm_fp16(context, g);
    case DType::kBf16: return gemm_bf16(context, g);
    case DType::kInt8: return gemm_int8(context, g);
  }
}

} // namespace tinychat::cuda
