// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Products of bf16 activations.

#include "cuda/product_choice.cuh"

namespace tinychat::cuda {

void multiply_bf16(const Queue& queue, const Product& p) {
  switch (p.w.format) {
    case WeightFormat::kW4Zero: return multiply_rare<FourZero>(queue, p);
    case WeightFormat::kW4Min: return multiply_rare<FourMin>(queue, p);
    case WeightFormat::kW8Group:
    case WeightFormat::kW8Channel: return multiply_rare<Eight>(queue, p);
    case WeightFormat::kF16: return multiply_rare<SixteenRounded>(queue, p);
    case WeightFormat::kBf16: return multiply_in<SixteenAsIs, Number::kBf16, kStretch, kStage>(queue, p);
  }
}

} // namespace tinychat::cuda
