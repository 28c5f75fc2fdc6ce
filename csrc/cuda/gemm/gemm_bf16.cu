// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Products of bf16 activations.

#include "cuda/gemm/dispatch.cuh"

namespace tinychat::cuda {

// Other weights in a model of bf16.
template <template <Number> class Format>
static void rare(const Queue& queue, const Product& p) {
  multiply_few_ways<Format, Number::kBf16, 32>(queue, p);
}

void multiply_bf16(const Queue& queue, const Product& p) {
  switch (p.w.format) {
    case WeightFormat::kW4Zero: return rare<FourZero>(queue, p);
    case WeightFormat::kW4Min: return rare<FourMin>(queue, p);
    case WeightFormat::kW8Group:
    case WeightFormat::kW8Channel: return rare<Eight>(queue, p);
    case WeightFormat::kF16: return rare<SixteenRounded>(queue, p);
    case WeightFormat::kBf16: return multiply_in<SixteenAsIs, Number::kBf16, kStretch, kStage>(queue, p);
  }
}

} // namespace tinychat::cuda
