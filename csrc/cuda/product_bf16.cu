// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Products of bf16 activations: a file of their own, so that two cores compile at once.

#include "cuda/product_choice.cuh"

namespace tinychat::cuda {

void multiply_bf16(const Queue& queue, const Product& p) { multiply_with<Number::kBf16>(queue, p); }

} // namespace tinychat::cuda
