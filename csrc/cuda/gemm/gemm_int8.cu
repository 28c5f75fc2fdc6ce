// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Products of bytes.

#include <stdexcept>

#include "cuda/gemm/dispatch.cuh"

namespace tinychat::cuda {

void multiply_bytes(const Queue& queue, const Product& p) {
  if (p.w.format != WeightFormat::kW8Group && p.w.format != WeightFormat::kW8Channel)
    throw std::logic_error("only weights of 8 bits are multiplied with bytes");
  const bool large = p.w.format == WeightFormat::kW8Channel || p.w.group % kStretch == 0;
  large ? multiply_few_ways<EightWithBytes, Number::kBytes, kStretch>(queue, p)
        : multiply_few_ways<EightWithBytes, Number::kBytes, 32>(queue, p);
}

} // namespace tinychat::cuda
