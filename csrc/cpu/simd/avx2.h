// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Sixteen lanes on AVX2 (with FMA and F16C): two registers each; with AVX-VNNI the dot product is one instruction.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

struct F {
  __m256 a, b;
};
inline F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline F load_half(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline __m256 widen_bf16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
inline F load_bf16(const uint16_t* p) { return {widen_bf16(p), widen_bf16(p + 8)}; }
inline F load_u8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
inline F load_i8(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
inline void store(float* p, F x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline F broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F operator+(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline F operator-(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline F operator*(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline F operator/(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
inline F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline F min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline float sum(F x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
inline float highest(F x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

struct I {
  __m256i a, b;
};
inline I broadcast(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I operator+(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline F to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline I round(F x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
inline int32_t sum(I x) {
  const __m256i eight = _mm256_add_epi32(x.a, x.b);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}
inline void store_i8(int8_t* p, I x) {
  // The 256-bit packs work within 128-bit halves: the permutation puts the halves back in order.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
inline F power_of_two(I n) {
  const __m256i bias = _mm256_set1_epi32(127);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n.a, bias), 23)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n.b, bias), 23))};
}
inline I shift_right(I x, int bits) {
  const __m128i count = _mm_cvtsi32_si128(bits);
  return {_mm256_srl_epi32(x.a, count), _mm256_srl_epi32(x.b, count)};
}
inline I shift_left(I x, int bits) {
  const __m128i count = _mm_cvtsi32_si128(bits);
  return {_mm256_sll_epi32(x.a, count), _mm256_sll_epi32(x.b, count)};
}
inline F as_float(I x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
inline I operator&(I x, I y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
inline I operator^(I x, I y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }

// Sixteen rows of four bytes each.
struct Bytes {
  __m256i a, b;
};
inline Bytes load_bytes(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
inline Bytes low_nibbles(Bytes x) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)};
}
inline Bytes high_nibbles(Bytes x) { return low_nibbles({_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4)}); }
inline Bytes operator|(Bytes x, Bytes y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
// The bits of kMask of each byte, after its bits were shifted to the left (negative: right).
template <int kLeft, int kMask>
inline Bytes shifted(Bytes x) {
  const __m256i mask = _mm256_set1_epi8(kMask);
  if constexpr (kLeft >= 0)
    return {_mm256_and_si256(_mm256_slli_epi16(x.a, kLeft), mask),
            _mm256_and_si256(_mm256_slli_epi16(x.b, kLeft), mask)};
  else
    return {_mm256_and_si256(_mm256_srli_epi16(x.a, -kLeft), mask),
            _mm256_and_si256(_mm256_srli_epi16(x.b, -kLeft), mask)};
}
inline I as_words(Bytes x) { return {x.a, x.b}; }

inline __m256i four_bytes(const int8_t* four) {
  int32_t word;
  __builtin_memcpy(&word, four, 4);
  return _mm256_set1_epi32(word);
}

// Sums over 32 columns of weight * activation, a lane a row. Four activations are broadcast to every row.
#if defined(__AVXVNNI__)
struct Dot {
  // See avx512.h.
  static constexpr int kSignedBias = 128;
  __m256i a, b;

  Dot() = default;
  explicit Dot(I start) : a(start.a), b(start.b) {}
  void add(Bytes unsigned_weights, const int8_t* four) {
    const __m256i x = four_bytes(four);
    a = _mm256_dpbusd_avx_epi32(a, unsigned_weights.a, x);
    b = _mm256_dpbusd_avx_epi32(b, unsigned_weights.b, x);
  }
  void add_signed(Bytes weights, const int8_t* four) {
    const __m256i flip = _mm256_set1_epi8(-128);
    add({_mm256_xor_si256(weights.a, flip), _mm256_xor_si256(weights.b, flip)}, four);
  }
  void settle() {}
  I value() const { return {a, b}; }
};
#else
struct Dot {
  static constexpr int kSignedBias = 0;
  I start;
  // 16-bit partial sums: a pair of products is at most 2 * 15 * 127 for four bits, and eight of them fit; of five bits
  // four, of six bits two.
  __m256i a = _mm256_setzero_si256(), b = _mm256_setzero_si256();

  Dot() = default;
  explicit Dot(I begin) : start(begin) {}
  void add(Bytes nibbles, const int8_t* four) {
    const __m256i x = four_bytes(four);
    a = _mm256_add_epi16(a, _mm256_maddubs_epi16(nibbles.a, x));
    b = _mm256_add_epi16(b, _mm256_maddubs_epi16(nibbles.b, x));
  }
  void add_signed(Bytes weights, const int8_t* four) {
    // |w| * (sign(w) x): a pair of products of bytes is at most 2 * 128 * 127, which fits 16 bits, but only once.
    const __m256i x = four_bytes(four), ones = _mm256_set1_epi16(1);
    const __m256i low = _mm256_maddubs_epi16(_mm256_abs_epi8(weights.a), _mm256_sign_epi8(x, weights.a));
    const __m256i high = _mm256_maddubs_epi16(_mm256_abs_epi8(weights.b), _mm256_sign_epi8(x, weights.b));
    start = start + I{_mm256_madd_epi16(low, ones), _mm256_madd_epi16(high, ones)};
  }
  // Makes room for as many products as at the beginning.
  void settle() {
    start = value();
    a = b = _mm256_setzero_si256();
  }
  I value() const {
    const __m256i ones = _mm256_set1_epi16(1);
    return start + I{_mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones)};
  }
};
#endif

} // namespace
