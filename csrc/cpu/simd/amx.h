// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// AVX-512 with the tile registers of AMX (Intel, Architecture Instruction Set Extensions, chapter 3): sixteen tokens times
// sixteen weight rows an instruction. In assembly: the intrinsics of GCC 12 do not say that they read and write memory.
#pragma once

#include "cpu/simd/avx512.h"

#define TINYCHAT_TILES

namespace {

template <int kBits>
inline I shift_right(I a) {
  return {_mm512_srli_epi32(a.v, kBits)};
}
// The lowest four bits of each lane.
inline F low_nibbles_to_float(I a) {
  const __m512 numbers = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  return {_mm512_permutexvar_ps(a.v, numbers)};
}
inline I as_int(F a) { return {_mm512_castps_si512(a.v)}; }
// The number rounded to what bf16 holds. A NaN may become a number; what is left, x - rounded_to_bf16(x), is then NaN.
inline F rounded_to_bf16(F x) {
  return as_float((as_int(x) + broadcast(0x8000)) & broadcast(static_cast<int32_t>(0xffff0000)));
}

// x - floor(x), and of an infinity 0; and x * 2^floor(power), with zero or infinity beyond what a float holds.
inline F fraction(F x) { return {_mm512_reduce_ps(x.v, 9)}; }
inline F scaled_by_power(F x, F power) { return {_mm512_scalef_ps(x.v, power.v)}; }
// 32 numbers rounded to bf16, to nearest.
inline Pairs rounded_to_bf16(F first, F second) { return {_mm512_cvtne2ps_pbh(second.v, first.v)}; }
inline void store(uint16_t* p, Pairs a) { _mm512_storeu_si512(p, reinterpret_cast<__m512i>(a.v)); }

// 16 pairs of the numbers 0 … 15 and 16 … 31.
inline void store_interleaved(uint16_t* to, const uint16_t* numbers) {
  const __m512i turns = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  _mm512_storeu_si512(to, _mm512_permutexvar_epi16(turns, _mm512_loadu_si512(numbers)));
}

// What a tile register holds, for each of the eight.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Two by two sums [16][16] of floats, tiles 0 … 3, of up to two tiles of bf16 [16][32] on the left (4, 5) and up to two of
// bf16 pairs [16][16][2] on the right (6, 7). Held while a value of this type lives.
struct PairTiles {
  PairTiles() {
    const TileShapes shapes;
    asm volatile("ldtilecfg %0" ::"m"(shapes));
  }
  ~PairTiles() { asm volatile("tilerelease"); }

  template <int kLeft, int kRight>
  void clear() {
    asm volatile("tilezero %%tmm0" ::);
    if (kRight == 2) asm volatile("tilezero %%tmm1" ::);
    if (kLeft == 2) asm volatile("tilezero %%tmm2" ::);
    if (kLeft == 2 && kRight == 2) asm volatile("tilezero %%tmm3" ::);
  }

  // The sums as store() wrote them.
  template <int kLeft, int kRight>
  void load(const float* from, size_t stride) {
    const size_t bytes = 4 * stride;
    asm volatile("tileloadd (%0,%1,1), %%tmm0" ::"r"(from), "r"(bytes) : "memory");
    if (kRight == 2) asm volatile("tileloadd (%0,%1,1), %%tmm1" ::"r"(from + 16), "r"(bytes) : "memory");
    if (kLeft == 2) asm volatile("tileloadd (%0,%1,1), %%tmm2" ::"r"(from + 16 * stride), "r"(bytes) : "memory");
    if (kLeft == 2 && kRight == 2)
      asm volatile("tileloadd (%0,%1,1), %%tmm3" ::"r"(from + 16 * stride + 16), "r"(bytes) : "memory");
  }

  // sums += left * right. A tile on the left is one piece of memory; `left_next` and `right_next` numbers lead to the
  // second, and `right_stride` bytes from a row of pairs to the next.
  template <int kLeft, int kRight>
  void add(const uint16_t* left, size_t left_next, const uint16_t* right, size_t right_next, size_t right_stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm6" ::"r"(right), "r"(right_stride) : "memory");
    asm volatile("tileloadd (%0,%1,1), %%tmm4" ::"r"(left), "r"(64l) : "memory");
    asm volatile("tdpbf16ps %%tmm6, %%tmm4, %%tmm0" ::);
    if (kRight == 2) {
      asm volatile("tileloadd (%0,%1,1), %%tmm7" ::"r"(right + right_next), "r"(right_stride) : "memory");
      asm volatile("tdpbf16ps %%tmm7, %%tmm4, %%tmm1" ::);
    }
    if (kLeft == 2) {
      asm volatile("tileloadd (%0,%1,1), %%tmm5" ::"r"(left + left_next), "r"(64l) : "memory");
      asm volatile("tdpbf16ps %%tmm6, %%tmm5, %%tmm2" ::);
      if (kRight == 2) asm volatile("tdpbf16ps %%tmm7, %%tmm5, %%tmm3" ::);
    }
  }

  // The sums, as rows of `stride` floats: those of the first tile on the right, and of the second.
  template <int kLeft, int kRight>
  void load(const float* first, const float* second, size_t stride) {
    const size_t bytes = 4 * stride;
    asm volatile("tileloadd (%0,%1,1), %%tmm0" ::"r"(first), "r"(bytes) : "memory");
    if (kRight == 2) asm volatile("tileloadd (%0,%1,1), %%tmm1" ::"r"(second), "r"(bytes) : "memory");
    if (kLeft == 2) asm volatile("tileloadd (%0,%1,1), %%tmm2" ::"r"(first + 16 * stride), "r"(bytes) : "memory");
    if (kLeft == 2 && kRight == 2)
      asm volatile("tileloadd (%0,%1,1), %%tmm3" ::"r"(second + 16 * stride), "r"(bytes) : "memory");
  }
  template <int kLeft, int kRight>
  void store(float* first, float* second, size_t stride) const {
    const size_t bytes = 4 * stride;
    asm volatile("tilestored %%tmm0, (%0,%1,1)" ::"r"(first), "r"(bytes) : "memory");
    if (kRight == 2) asm volatile("tilestored %%tmm1, (%0,%1,1)" ::"r"(second), "r"(bytes) : "memory");
    if (kLeft == 2) asm volatile("tilestored %%tmm2, (%0,%1,1)" ::"r"(first + 16 * stride), "r"(bytes) : "memory");
    if (kLeft == 2 && kRight == 2)
      asm volatile("tilestored %%tmm3, (%0,%1,1)" ::"r"(second + 16 * stride), "r"(bytes) : "memory");
  }
  template <int kLeft, int kRight>
  void store(float* to, size_t stride) const {
    store<kLeft, kRight>(to, to + 16, stride);
  }
};

} // namespace
