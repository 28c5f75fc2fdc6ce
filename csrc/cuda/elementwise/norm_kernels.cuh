// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Norms and int8 quantization of activations, one block a token.
#pragma once

#include "cuda/elementwise/norm.cuh"
#include "cuda/elementwise/quantize.cuh"
#include "cuda/primitives/pdl.cuh"

namespace tinychat::cuda {

constexpr int kRowThreads = 512; // or fewer, for short rows

// The row where there is no norm: unchanged, times the input scale.
class PlainRow {
 public:
  __device__ explicit PlainRow(const Normed& p) : x_(p.x), scale_(p.input_scale) {}
  __device__ float4 at(int i) const {
    const float4 x = four(x_, i), s = scale_ != nullptr ? four(scale_, i) : float4{1, 1, 1, 1};
    return float4{x.x * s.x, x.y * s.y, x.z * s.z, x.w * s.w};
  }

 private:
  __device__ static float4 four(const float* from, int i) { return *reinterpret_cast<const float4*>(from + i); }

  const float *x_, *scale_;
};

template <typename Use>
__device__ inline void with_row(const Normed& p, int n, const Use& use) {
  if (p.w.weight == nullptr) use(PlainRow(p));
  else use(NormedRow(p, n));
}

__device__ inline Normed row_of(Normed p, int n) {
  p.x += static_cast<size_t>(blockIdx.x) * n;
  return p;
}

__device__ inline Int8Activations row_of(Int8Activations to, int n) {
  to.values += static_cast<size_t>(blockIdx.x) * n;
  to.scales += static_cast<size_t>(blockIdx.x) * (n / to.group);
  return to;
}

__global__ void __launch_bounds__(kRowThreads) norm_rows(Normed p, int n, DType dtype, uint16_t* out) {
  pdl_wait();
  with_row(row_of(p, n), n,
           [&](const auto& row) { put_row(row, n, dtype, out + static_cast<size_t>(blockIdx.x) * n); });
}

// residual += norm(branch): Gemma 2 norms what attention and MLP add.
__global__ void __launch_bounds__(kRowThreads) add_norm_rows(Normed p, int n, float* residual) {
  pdl_wait();
  const Normed mine = row_of(p, n);
  const NormedRow row(mine, n);
  residual += static_cast<size_t>(blockIdx.x) * n;
  for (int i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) {
    const float4 y = row.at(i);
    auto& sum = *reinterpret_cast<float4*>(residual + i);
    sum = float4{sum.x + y.x, sum.y + y.y, sum.z + y.z, sum.w + y.w};
  }
}

// residual = norm(residual), after the addition (OPT-350M). A thread re-reads last only what it alone writes.
__global__ void __launch_bounds__(kRowThreads) norm_residual_rows(NormWeights w, int n, float* residual) {
  pdl_wait();
  residual += static_cast<size_t>(blockIdx.x) * n;
  const Normed mine = {residual, w, nullptr};
  const NormedRow row(mine, n);
  for (int i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) *reinterpret_cast<float4*>(residual + i) = row.at(i);
}

__global__ void __launch_bounds__(kRowThreads) norm_rows_to_int8(Normed p, int n, Int8Activations to) {
  pdl_wait();
  with_row(row_of(p, n), n, [&](const auto& row) { quantize_row([&](int i) { return row.at(i); }, n, row_of(to, n)); });
}

__global__ void __launch_bounds__(kRowThreads)
    quantize_rows(const uint16_t* x, int n, DType dtype, Int8Activations to) {
  pdl_wait();
  x += static_cast<size_t>(blockIdx.x) * n;
  const auto four = [&](int i) {
    const uint2 words = *reinterpret_cast<const uint2*>(x + i);
    const auto value_of = [&](uint32_t word) { return from_dtype(static_cast<uint16_t>(word), dtype); };
    return float4{value_of(words.x), value_of(words.x >> 16), value_of(words.y), value_of(words.y >> 16)};
  };
  quantize_row(four, n, row_of(to, n));
}

} // namespace tinychat::cuda
