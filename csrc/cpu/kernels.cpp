// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Compiled once per instruction set: TINYCHAT_SIMD names the header with the sixteen-lane vocabulary, TINYCHAT_KERNELS
// the table that comes out. Everything else has internal linkage, and nothing of the standard library is instantiated:
// a function compiled for AVX-512 must never be the copy that the linker keeps for everyone.

#include "cpu/kernels.h"

#include TINYCHAT_SIMD

#include "cpu/attention.inl"
#include "cpu/elementwise.inl"
#include "cpu/matmul.inl"
#include "cpu/panels.inl"

namespace tinychat {

extern const Kernels TINYCHAT_KERNELS;
const Kernels TINYCHAT_KERNELS = {gemm_float,
                                  gemm_int8,
                                  gemm_two_digits,
#if defined(TINYCHAT_TILES)
                                  gemm_large_m,
                                  pack_bf16,
#else
                                  nullptr,
                                  nullptr,
#endif
                                  quantize<1>,
                                  quantize<2>,
                                  norm,
                                  activate,
                                  scale,
                                  attention<uint16_t>,
                                  attention<float>,
                                  attention<uint8_t>,
                                  read};

} // namespace tinychat
