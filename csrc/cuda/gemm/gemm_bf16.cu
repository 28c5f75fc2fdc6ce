// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// GEMMs with bf16 activations.

#include <stdexcept>

#include "cuda/gemm/dispatch.cuh"

namespace tinychat::cuda {

// Other weight formats in a bf16 model.
template <template <DType> class Format>
static void untuned(const LaunchContext& context, const Gemm& p) {
  dispatch_untuned<Format, DType::kBf16, 32>(context, p);
}

void gemm_bf16(const LaunchContext& context, const Gemm& p) {
  switch (p.w.format) {
    case WeightFormat::kW4Zero: return untuned<W4Zero>(context, p);
    case WeightFormat::kW4Min: return untuned<W4Min>(context, p);
    case WeightFormat::kW8Group:
    case WeightFormat::kW8Channel: return untuned<W8>(context, p);
    case WeightFormat::kF16: return untuned<W16Rounded>(context, p);
    case WeightFormat::kBf16: return dispatch<W16AsIs, DType::kBf16, kStretch, kStage>(context, p);
    default: throw std::logic_error("CUDA has no kernels for weights of this format");
  }
}

} // namespace tinychat::cuda
