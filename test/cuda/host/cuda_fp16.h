// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The conversions of CUDA's cuda_fp16.h on the host, for tests.
#pragma once

#include "cpu/half.h"

struct __half {
  uint16_t bits;
};

inline __half __ushort_as_half(uint16_t bits) { return {bits}; }
inline uint16_t __half_as_ushort(__half value) { return value.bits; }
inline float __half2float(__half value) { return tinychat::half_to_float(value.bits); }
inline __half __float2half_rn(float value) { return {tinychat::float_to_half(value)}; }
