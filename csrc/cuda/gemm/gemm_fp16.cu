// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Products of fp16 activations.

#include <stdexcept>

#include "cuda/gemm/dispatch.cuh"

namespace tinychat::cuda {

void multiply_half(const Queue& queue, const Product& p) {
  constexpr Number kHalf = Number::kHalf;
  const bool large = p.w.group == kStretch;
  switch (p.w.format) {
    case WeightFormat::kW4Zero:
      if (p.w.group == 64) return multiply_in<FourZero, kHalf, 64, 32>(queue, p);
      return large ? multiply_in<FourZero, kHalf, kStretch, kStage>(queue, p)
                   : multiply_in<FourZero, kHalf, 32, 32>(queue, p);
    case WeightFormat::kW4Min:
      return large ? multiply_in<FourMin, kHalf, kStretch, kStage>(queue, p)
                   : multiply_in<FourMin, kHalf, 32, 32>(queue, p);
    case WeightFormat::kW8Group:
    case WeightFormat::kW8Channel: return multiply_in<Eight, kHalf, 32, 32>(queue, p);
    case WeightFormat::kF16: return multiply_in<SixteenAsIs, kHalf, kStretch, kStage>(queue, p);
    case WeightFormat::kBf16: throw std::logic_error("a model with bf16 weights has bf16 activations");
  }
}

} // namespace tinychat::cuda
