// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The portable vocabulary with bf16 pairs and tiles in plain loops, as the manual describes the instructions of AVX-512 BF16
// and AMX: what simd/avx512.h and simd/amx.h say, for machines that have none. It proves the arithmetic around the
// instructions, not the assembly.
#pragma once

#include "cpu/half.h"
#include "cpu/simd/generic.h"

#define TINYCHAT_PAIRS
#define TINYCHAT_TILES

namespace {

struct Pairs {
  uint16_t v[32];
};
using PairNumber = uint16_t;
inline Pairs load_pairs(const uint16_t* p) {
  Pairs r;
  __builtin_memcpy(r.v, p, sizeof r.v);
  return r;
}
inline float dot(const uint16_t* a, const uint16_t* b, float total) {
  for (int i = 0; i < 2; ++i) total += tinychat::bf16_to_float(a[i]) * tinychat::bf16_to_float(b[i]);
  return total;
}
inline F dot(const Pairs& a, const PairNumber* pair, F total) {
  for (int i = 0; i < 16; ++i) total.v[i] = dot(a.v + 2 * i, pair, total.v[i]);
  return total;
}
inline void store_bf16(uint16_t* p, F x) {
  for (int i = 0; i < 16; ++i) p[i] = tinychat::float_to_bf16(x.v[i]);
}
inline const PairNumber* as_pairs(const float* x, int n, PairNumber* room) {
  for (int i = 0; i < n; i += 16) store_bf16(room + i, load(x + i));
  return room;
}
inline void store_pairs(uint16_t* p, F first, F second) {
  for (int i = 0; i < 16; ++i) {
    p[2 * i] = tinychat::float_to_bf16(first.v[i]);
    p[2 * i + 1] = tinychat::float_to_bf16(second.v[i]);
  }
}

template <int kBits>
inline I shift_right(I a) {
  return shift_right(a, kBits);
}
inline F low_nibbles_to_float(I a) { return to_float(a & broadcast(15)); }
inline I as_int(F a) {
  I r;
  __builtin_memcpy(r.v, a.v, sizeof r.v);
  return r;
}
// The number rounded to what bf16 holds. A NaN may become a number; what is left, x - rounded_to_bf16(x), is then NaN.
inline F rounded_to_bf16(F x) {
  return as_float((as_int(x) + broadcast(0x8000)) & broadcast(static_cast<int32_t>(0xffff0000)));
}

inline F fraction(F x) {
  for (float& lane : x.v) lane = std::isinf(lane) ? 0 : lane - std::floor(lane);
  return x;
}
inline F scaled_by_power(F x, F power) {
  for (int i = 0; i < 16; ++i) x.v[i] *= std::exp2(std::floor(power.v[i]));
  return x;
}
inline Pairs rounded_to_bf16(F first, F second) {
  Pairs r;
  store_bf16(r.v, first);
  store_bf16(r.v + 16, second);
  return r;
}
inline void store(uint16_t* p, const Pairs& a) { __builtin_memcpy(p, a.v, sizeof a.v); }

inline void store_interleaved(uint16_t* to, const uint16_t* numbers) {
  for (int i = 0; i < 32; ++i) to[i] = numbers[i / 2 + i % 2 * 16];
}

struct PairTiles {
  float sums[2][2][16][16];

  template <int kLeft, int kRight>
  void clear() {
    __builtin_memset(sums, 0, sizeof(sums));
  }

  template <int kLeft, int kRight>
  void load(const float* from, size_t stride) {
    for (int l = 0; l < kLeft; ++l)
      for (int r = 0; r < kRight; ++r)
        for (int m = 0; m < 16; ++m) __builtin_memcpy(sums[l][r][m], from + (16 * l + m) * stride + 16 * r, 64);
  }

  template <int kLeft, int kRight>
  void add(const uint16_t* left, size_t left_next, const uint16_t* right, size_t right_next, size_t right_stride) {
    for (int l = 0; l < kLeft; ++l)
      for (int r = 0; r < kRight; ++r)
        for (int m = 0; m < 16; ++m)
          for (int k = 0; k < 16; ++k)
            for (int n = 0; n < 16; ++n)
              sums[l][r][m][n] = dot(left + l * left_next + 32 * m + 2 * k,
                                     right + r * right_next + right_stride / 2 * k + 2 * n, sums[l][r][m][n]);
  }

  template <int kLeft, int kRight>
  void load(const float* first, const float* second, size_t stride) {
    for (int l = 0; l < kLeft; ++l)
      for (int r = 0; r < kRight; ++r)
        for (int m = 0; m < 16; ++m)
          __builtin_memcpy(sums[l][r][m], (r == 0 ? first : second) + (16 * l + m) * stride, 64);
  }
  template <int kLeft, int kRight>
  void store(float* first, float* second, size_t stride) const {
    for (int l = 0; l < kLeft; ++l)
      for (int r = 0; r < kRight; ++r)
        for (int m = 0; m < 16; ++m)
          __builtin_memcpy((r == 0 ? first : second) + (16 * l + m) * stride, sums[l][r][m], 64);
  }
  template <int kLeft, int kRight>
  void store(float* to, size_t stride) const {
    store<kLeft, kRight>(to, to + 16, stride);
  }
};

} // namespace
