// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Products of fp16 activations.

#include "cuda/product_choice.cuh"

namespace tinychat::cuda {

void multiply_half(const Queue& queue, const Product& p) { multiply_with<Number::kHalf>(queue, p); }

} // namespace tinychat::cuda
