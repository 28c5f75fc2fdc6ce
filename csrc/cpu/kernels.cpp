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

namespace {

// A set whose only new instructions are integer dot products (TINYCHAT_DOT_PRODUCTS_ONLY) is compiled for the functions that use
// them. Its others are null, and isa.cpp takes them from the set that it extends.
#if defined(TINYCHAT_DOT_PRODUCTS_ONLY)
constexpr bool kIsWhole = false;
#else
constexpr bool kIsWhole = true;
#endif

template <typename Function>
constexpr Function* of_whole(Function* function) {
  return kIsWhole ? function : nullptr;
}

} // namespace

namespace tinychat {

extern const Kernels TINYCHAT_KERNELS;
constexpr Kernels TINYCHAT_KERNELS = {of_whole(gemm_float),
                                      gemm_int8,
                                      gemm_two_digits,
#if defined(TINYCHAT_TILES)
                                      gemm_large_m,
                                      pack_bf16,
                                      pack_two_bf16,
#else
                                      nullptr,
                                      nullptr,
                                      nullptr,
#endif
                                      of_whole(quantize<1>),
                                      of_whole(quantize<2>),
                                      of_whole(norm),
                                      of_whole(activate),
                                      of_whole(scale),
                                      of_whole(attention<uint16_t>),
                                      of_whole(attention<float>),
                                      of_whole(attention<uint8_t>),
                                      of_whole(read)};

} // namespace tinychat
