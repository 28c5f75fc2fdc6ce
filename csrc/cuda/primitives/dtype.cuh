// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Conversions of the 16-bit numbers that activations, weights and the cache consist of. Kernels compute in float.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/primitives/dtype.h"

namespace tinychat::cuda {

__device__ inline float from_half(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }

// Rounds to nearest, ties to even.
__device__ inline uint16_t to_half(float value) { return __half_as_ushort(__float2half_rn(value)); }

__device__ inline uint32_t bits_of(float value) { return __float_as_uint(value); }

__device__ inline float float_of(uint32_t bits) { return __uint_as_float(bits); }

__device__ inline float from_bf16(uint16_t bits) { return float_of(static_cast<uint32_t>(bits) << 16); }

// Rounds to nearest, ties to even; a NaN stays one.
__device__ inline uint16_t to_bf16(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// An activation. fp16 saturates at 65504; a model that was trained in bf16 runs in bf16.
__device__ inline uint16_t to_dtype(float value, DType dtype) {
  if (dtype == DType::kBf16) return to_bf16(value);
  return to_half(value > 65504.0f ? 65504.0f : value < -65504.0f ? -65504.0f : value);
}

__device__ inline float from_dtype(uint16_t bits, DType dtype) {
  return dtype == DType::kBf16 ? from_bf16(bits) : from_half(bits);
}

} // namespace tinychat::cuda
