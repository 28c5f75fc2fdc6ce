// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Sixteen lanes on AVX-512 (F, BW, DQ, VL, VNNI): one register each.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

struct F {
  __m512 v;
};
inline F load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline F load_half(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline F load_bf16(const uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline F load_u8(const uint8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline F load_i8(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline void store(float* p, F a) { _mm512_storeu_ps(p, a.v); }
inline F broadcast(float a) { return {_mm512_set1_ps(a)}; }
inline F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
inline float sum(F a) { return _mm512_reduce_add_ps(a.v); }
inline float highest(F a) { return _mm512_reduce_max_ps(a.v); }

struct I {
  __m512i v;
};
inline I broadcast(int32_t a) { return {_mm512_set1_epi32(a)}; }
inline I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline F to_float(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline I round(F a) { return {_mm512_cvtps_epi32(a.v)}; }
inline int32_t sum(I a) { return _mm512_reduce_add_epi32(a.v); }
inline void store_i8(int8_t* p, I a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(a.v)); }
inline F power_of_two(I n) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n.v, _mm512_set1_epi32(127)), 23))};
}
inline I shift_right(I a, int bits) { return {_mm512_srlv_epi32(a.v, _mm512_set1_epi32(bits))}; }
inline I shift_left(I a, int bits) { return {_mm512_sllv_epi32(a.v, _mm512_set1_epi32(bits))}; }
inline F as_float(I a) { return {_mm512_castsi512_ps(a.v)}; }
inline I operator&(I a, I b) { return {_mm512_and_si512(a.v, b.v)}; }
inline I operator^(I a, I b) { return {_mm512_xor_si512(a.v, b.v)}; }

// Sixteen rows of four bytes each.
struct Bytes {
  __m512i v;
};
inline Bytes load_bytes(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline Bytes low_nibbles(Bytes a) { return {_mm512_and_si512(a.v, _mm512_set1_epi8(15))}; }
inline Bytes high_nibbles(Bytes a) { return {_mm512_and_si512(_mm512_srli_epi16(a.v, 4), _mm512_set1_epi8(15))}; }
inline Bytes operator|(Bytes a, Bytes b) { return {_mm512_or_si512(a.v, b.v)}; }
// The bits of kMask of each byte, after its bits were shifted to the left (negative: right).
template <int kLeft, int kMask>
inline Bytes shifted(Bytes a) {
  const __m512i mask = _mm512_set1_epi8(kMask);
  if constexpr (kLeft >= 0) return {_mm512_and_si512(_mm512_slli_epi16(a.v, kLeft), mask)};
  else return {_mm512_and_si512(_mm512_srli_epi16(a.v, -kLeft), mask)};
}
inline I as_words(Bytes a) { return {a.v}; }

#if defined(__AVX512BF16__)
#define TINYCHAT_PAIRS
// A pair of bf16 a lane; one instruction multiplies both with a pair that is the same for all lanes.
struct Pairs {
  __m512bh v;
};
using PairNumber = uint16_t;
inline Pairs load_pairs(const uint16_t* p) { return {reinterpret_cast<__m512bh>(_mm512_loadu_si512(p))}; }
inline F dot(Pairs a, const PairNumber* pair, F total) {
  int32_t word;
  __builtin_memcpy(&word, pair, 4);
  return {_mm512_dpbf16_ps(total.v, a.v, reinterpret_cast<__m512bh>(_mm512_set1_epi32(word)))};
}
// n numbers, a multiple of 16, as dot() takes them.
inline const PairNumber* as_pairs(const float* x, int n, PairNumber* room) {
  for (int i = 0; i < n; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(room + i),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i))));
  return room;
}
// 16 numbers rounded to bf16, to nearest.
inline void store_bf16(uint16_t* p, F x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x.v)));
}
// 16 pairs of such: a lane has a number of `first` and one of `second`.
inline void store_pairs(uint16_t* p, F first, F second) {
  const __m512i turns = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second.v, first.v));
  _mm512_storeu_si512(p, _mm512_permutexvar_epi16(turns, both));
}
#endif

// Sums over 32 columns of weight * activation, a lane a row. Four activations are broadcast to every row.
struct Dot {
  // The instruction multiplies unsigned by signed bytes: signed weights are read as w + 128, and the sum begins at
  // -128 times the sum of the activations.
  static constexpr int kSignedBias = 128;
  __m512i v;

  Dot() = default;
  explicit Dot(I start) : v(start.v) {}
  void add(Bytes unsigned_weights, const int8_t* four) {
    int32_t word;
    __builtin_memcpy(&word, four, 4);
    v = _mm512_dpbusd_epi32(v, unsigned_weights.v, _mm512_set1_epi32(word));
  }
  void add_signed(Bytes weights, const int8_t* four) {
    add({_mm512_xor_si512(weights.v, _mm512_set1_epi8(-128))}, four);
  }
  void settle() {}
  I value() const { return {v}; }
};

} // namespace
