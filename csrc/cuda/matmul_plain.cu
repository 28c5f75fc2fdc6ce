// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The product that is right and slow, a thread an output row: what the fast kernels are held against.

#include "cuda/kernels.h"
#include "cuda/overlap.cuh"
#include "cuda/weight.cuh"

namespace tinychat::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads) multiply_plainly(Product p) {
  await_previous();
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= p.w.rows) return;
  for (int row = 0; row < p.rows; ++row) {
    const uint16_t* x = p.x + static_cast<size_t>(row) * p.w.cols;
    float sum = p.w.bias != nullptr ? p.w.bias[n] : 0.0f;
    for (int k = 0; k < p.w.cols; ++k) sum += weight_at(p.w, n, k) * from_number(x[k], p.number);
    float& out = p.out[static_cast<size_t>(row) * p.w.rows + n];
    out = p.add ? out + sum : sum;
  }
}

} // namespace

void multiply(const Queue& queue, const Product& product) {
  launch(queue, multiply_plainly, dim3(ceil_div(product.w.rows, kThreads)), kThreads, product);
}

} // namespace tinychat::cuda
