// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// GEMMs with fp16 activations.

#include <stdexcept>

#include "cuda/gemm/dispatch.cuh"

namespace tinychat::cuda {

void gemm_fp16(const LaunchContext& context, const Gemm& p) {
  const bool large = p.w.group == kStretch;
  switch (p.w.format) {
    case WeightFormat::kW4Zero:
      if (p.w.group == 64) return dispatch<W4Zero, DType::kFp16, 64, 32>(context, p);
      return large ? dispatch<W4Zero, DType::kFp16, kStretch, kStage>(context, p)
                   : dispatch<W4Zero, DType::kFp16, 32, 32>(context, p);
    case WeightFormat::kW4Min:
      return large ? dispatch<W4Min, DType::kFp16, kStretch, kStage>(context, p)
                   : dispatch<W4Min, DType::kFp16, 32, 32>(context, p);
    case WeightFormat::kW8Group:
    case WeightFormat::kW8Channel: return dispatch<W8, DType::kFp16, 32, 32>(context, p);
    case WeightFormat::kF16: return dispatch<W16AsIs, DType::kFp16, kStretch, kStage>(context, p);
    case WeightFormat::kBf16: throw std::logic_error("bf16 weights need bf16 activations");
    default: throw std::logic_error("CUDA has no kernels for weights of this format");
  }
}

} // namespace tinychat::cuda
