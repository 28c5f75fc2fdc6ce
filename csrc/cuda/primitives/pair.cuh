// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Two 16-bit numbers in a register, and how integers become such pairs without a conversion: with the exponent whose last
// place is 1, the bits of an integer q read as 1024 + q (fp16) or 128 + q (bf16), and a subtraction leaves exactly q.
#pragma once

#include <cuda_runtime.h>

#include "cuda/primitives/dtype.cuh"
#include "cuda/primitives/ptx.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#endif

namespace tinychat::cuda {

__device__ inline uint32_t pair(uint16_t low, uint16_t high) { return low | static_cast<uint32_t>(high) << 16; }

// {low half of a, low half of b} and {high half of a, high half of b}
__device__ inline uint32_t low_halves(uint32_t a, uint32_t b) { return choose_bytes<0x5410>(a, b); }
__device__ inline uint32_t high_halves(uint32_t a, uint32_t b) { return choose_bytes<0x7632>(a, b); }

// {low half, low half}, {high half, high half}
__device__ inline uint32_t low_twice(uint32_t a) { return choose_bytes<0x1010>(a, a); }
__device__ inline uint32_t high_twice(uint32_t a) { return choose_bytes<0x3232>(a, a); }

// The bytes of four columns in the order 0, 2, 1, 3, so that a mask extracts a pair of neighbours.
__device__ inline uint32_t in_pairs(uint32_t word) { return choose_bytes<0x3120>(word, word); }

template <DType kDType>
__device__ inline uint32_t sub2(uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  uint32_t result;
  if constexpr (kDType == DType::kFp16) {
    const __half2 difference = __hsub2(reinterpret_cast<const __half2&>(a), reinterpret_cast<const __half2&>(b));
    memcpy(&result, &difference, 4);
  } else {
    const __nv_bfloat162 difference = __hsub2(reinterpret_cast<const __nv_bfloat162&>(a),
                                              reinterpret_cast<const __nv_bfloat162&>(b));
    memcpy(&result, &difference, 4);
  }
  return result;
#else
  const auto one = [](uint32_t x, uint32_t y) {
    return to_dtype(from_dtype(static_cast<uint16_t>(x), kDType) - from_dtype(static_cast<uint16_t>(y), kDType),
                    kDType);
  };
  return pair(one(a, b), one(a >> 16, b >> 16));
#endif
}

// a * b + c, rounded once.
template <DType kDType>
__device__ inline uint32_t fma2(uint32_t a, uint32_t b, uint32_t c) {
#ifdef __CUDACC__
  uint32_t result;
  if constexpr (kDType == DType::kFp16) {
    const __half2 sum = __hfma2(reinterpret_cast<const __half2&>(a), reinterpret_cast<const __half2&>(b),
                                reinterpret_cast<const __half2&>(c));
    memcpy(&result, &sum, 4);
  } else {
    const __nv_bfloat162 sum = __hfma2(reinterpret_cast<const __nv_bfloat162&>(a),
                                       reinterpret_cast<const __nv_bfloat162&>(b),
                                       reinterpret_cast<const __nv_bfloat162&>(c));
    memcpy(&result, &sum, 4);
  }
  return result;
#else
  const auto one = [](uint32_t x, uint32_t y, uint32_t z) {
    return to_dtype(from_dtype(static_cast<uint16_t>(x), kDType) * from_dtype(static_cast<uint16_t>(y), kDType) +
                        from_dtype(static_cast<uint16_t>(z), kDType),
                    kDType);
  };
  return pair(one(a, b, c), one(a >> 16, b >> 16, c >> 16));
#endif
}

// 1024 or 128, twice
template <DType kDType>
constexpr uint32_t kUnits = kDType == DType::kFp16 ? 0x64006400u : 0x43004300u;

// The zero point of both numbers of a pair, in the forms that are subtracted from low and high nibbles.
template <DType kDType>
struct Zero {
  uint32_t low, high;

  __device__ explicit Zero(uint32_t zero = 0)
      : low(kUnits<kDType> | zero * 0x00010001u),
        high(kDType == DType::kFp16 ? 0xd400d400u | zero * 0x00100010u : low) {} // fp16: -(64 + zero)
};

// {q - zero} of the nibbles at bits 0 and 16.
template <DType kDType>
__device__ inline uint32_t from_low_nibbles(uint32_t word, const Zero<kDType>& zero) {
  return sub2<kDType>(select_or<0x000f000fu, kUnits<kDType>>(word), zero.low);
}

// The same for the nibbles at bits 4 and 20. fp16 needs no shift: they read as 1024 + 16 q, and 1/16 of it is q + 64,
// which one multiply-add turns into exactly q - zero. The 8 bits of a bf16 mantissa have no room for that.
template <DType kDType>
__device__ inline uint32_t from_high_nibbles(uint32_t word, const Zero<kDType>& zero) {
  if constexpr (kDType == DType::kFp16)
    return fma2<kDType>(select_or<0x00f000f0u, kUnits<kDType>>(word), 0x2c002c00u, zero.high);
  else return from_low_nibbles<kDType>(word >> 4, zero);
}

// The bytes at bits 0 and 16, signed.
template <DType kDType>
__device__ inline uint32_t from_int8(uint32_t word) {
  if constexpr (kDType == DType::kFp16) {
    const uint32_t shifted = ((word ^ 0x00800080u) & 0x00ff00ffu) | kUnits<kDType>; // 1024 + 128 + q
    return sub2<kDType>(shifted, 0x64806480u);
  } else {
    // A bf16 mantissa holds 8 bits, as many as q has: there is no room for an offset.
    const auto one = [](uint32_t byte) { return to_bf16(static_cast<float>(static_cast<int8_t>(byte & 0xff))); };
    return pair(one(word), one(word >> 16));
  }
}

// Bytes 0 and 1, bytes 2 and 3, each in 16 bits.
__device__ inline uint32_t low_bytes(uint32_t word) { return choose_bytes<0x4140>(word, 0); }
__device__ inline uint32_t high_bytes(uint32_t word) { return choose_bytes<0x4342>(word, 0); }

} // namespace tinychat::cuda
