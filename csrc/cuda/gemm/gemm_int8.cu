// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// GEMMs with int8 weights and int8 activations.

#include <stdexcept>

#include "cuda/gemm/dispatch.cuh"

namespace tinychat::cuda {

void gemm_int8(const LaunchContext& context, const Gemm& p) {
  if (p.w.format != WeightFormat::kW8Group && p.w.format != WeightFormat::kW8Channel)
    throw std::logic_error("int8 activations need int8 weights");
  const bool large = p.w.format == WeightFormat::kW8Channel || p.w.group % kStretch == 0;
  large ? dispatch_untuned<W8A8, DType::kInt8, kStretch>(context, p)
        : dispatch_untuned<W8A8, DType::kInt8, 32>(context, p);
}

} // namespace tinychat::cuda
