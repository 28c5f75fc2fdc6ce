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

// A set that extends another one (TINYCHAT_ADDS) is compiled for the functions that its instructions change: those with integer
// dot products. Its others are null, and isa.cpp takes them from the set that it extends.
enum Adds { kEverything, kDotProducts };
#if defined(TINYCHAT_ADDS)
constexpr Adds kAdds = TINYCHAT_ADDS;
#else
constexpr Adds kAdds = kEverything;
#endif

template <Adds kBelongs, typename Function>
constexpr Function* only(Function* function) {
  return kAdds == kEverything || kAdds == kBelongs ? function : nullptr;
}

} // namespace

namespace tinychat {

extern const Kernels TINYCHAT_KERNELS;
constexpr Kernels TINYCHAT_KERNELS = {only<kEverything>(gemm_float),
                                      only<kDotProducts>(gemm_int8),
                                      only<kDotProducts>(gemm_two_digits),
#if defined(TINYCHAT_TILES)
                                      gemm_large_m,
                                      pack_bf16,
#else
                                      nullptr,
                                      nullptr,
#endif
                                      only<kEverything>(quantize<1>),
                                      only<kEverything>(quantize<2>),
                                      only<kEverything>(norm),
                                      only<kEverything>(activate),
                                      only<kEverything>(scale),
                                      only<kEverything>(attention<uint16_t>),
                                      only<kEverything>(attention<float>),
                                      only<kEverything>(attention<uint8_t>),
                                      only<kEverything>(read)};

} // namespace tinychat
