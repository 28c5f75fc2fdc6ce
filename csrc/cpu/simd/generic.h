// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Sixteen lanes in plain C++: for machines without a set of their own, and the reference that the other sets are tested
// against.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cpu/half.h"

namespace {

struct F {
  float v[16];
};
#define TINYCHAT_LANES(type, expression)            \
  type r;                                           \
  for (int i = 0; i < 16; ++i) r.v[i] = expression; \
  return r
inline F load(const float* p) { TINYCHAT_LANES(F, p[i]); }
inline F load_half(const uint16_t* p) { TINYCHAT_LANES(F, tinychat::half_to_float(p[i])); }
inline F load_bf16(const uint16_t* p) { TINYCHAT_LANES(F, tinychat::bf16_to_float(p[i])); }
inline F load_u8(const uint8_t* p) { TINYCHAT_LANES(F, static_cast<float>(p[i])); }
inline F load_i8(const int8_t* p) { TINYCHAT_LANES(F, static_cast<float>(p[i])); }
inline void store(float* p, F a) { std::memcpy(p, a.v, sizeof a.v); }
inline F broadcast(float a) { TINYCHAT_LANES(F, a); }
inline F operator+(F a, F b) { TINYCHAT_LANES(F, a.v[i] + b.v[i]); }
inline F operator-(F a, F b) { TINYCHAT_LANES(F, a.v[i] - b.v[i]); }
inline F operator*(F a, F b) { TINYCHAT_LANES(F, a.v[i] * b.v[i]); }
inline F operator/(F a, F b) { TINYCHAT_LANES(F, a.v[i] / b.v[i]); }
inline F fma(F a, F b, F c) { TINYCHAT_LANES(F, a.v[i] * b.v[i] + c.v[i]); }
inline F max(F a, F b) { TINYCHAT_LANES(F, a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
inline F min(F a, F b) { TINYCHAT_LANES(F, a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
inline float sum(F a) {
  float total = 0;
  for (float x : a.v) total += x;
  return total;
}
inline float highest(F a) {
  float best = a.v[0];
  for (float x : a.v) best = x > best ? x : best;
  return best;
}

struct I {
  int32_t v[16];
};
inline I broadcast(int32_t a) { TINYCHAT_LANES(I, a); }
inline I operator+(I a, I b) { TINYCHAT_LANES(I, a.v[i] + b.v[i]); }
inline F to_float(I a) { TINYCHAT_LANES(F, static_cast<float>(a.v[i])); }
inline I round(F a) { TINYCHAT_LANES(I, static_cast<int32_t>(std::nearbyintf(a.v[i]))); }
inline int32_t sum(I a) {
  int32_t total = 0;
  for (int32_t x : a.v) total += x;
  return total;
}
inline void store_i8(int8_t* p, I a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i] < -128 ? -128 : a.v[i] > 127 ? 127 : a.v[i]);
}
inline F power_of_two(I n) {
  F r;
  for (int i = 0; i < 16; ++i) {
    const uint32_t bits = static_cast<uint32_t>(n.v[i] + 127) << 23;
    std::memcpy(&r.v[i], &bits, 4);
  }
  return r;
}
inline I shift_right(I a, int bits) { TINYCHAT_LANES(I, static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) >> bits)); }
inline I shift_left(I a, int bits) { TINYCHAT_LANES(I, static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << bits)); }
inline F as_float(I a) {
  F r;
  std::memcpy(r.v, a.v, sizeof r.v);
  return r;
}
inline I operator&(I a, I b) { TINYCHAT_LANES(I, a.v[i] & b.v[i]); }
inline I operator^(I a, I b) { TINYCHAT_LANES(I, a.v[i] ^ b.v[i]); }

// Sixteen rows of four bytes each.
struct Bytes {
  uint8_t v[64];
};
inline Bytes load_bytes(const uint8_t* p) {
  Bytes r;
  std::memcpy(r.v, p, sizeof r.v);
  return r;
}
inline Bytes low_nibbles(Bytes a) {
  for (uint8_t& x : a.v) x &= 15;
  return a;
}
inline Bytes high_nibbles(Bytes a) {
  for (uint8_t& x : a.v) x >>= 4;
  return a;
}
inline Bytes operator|(Bytes a, const Bytes& b) {
  for (int i = 0; i < 64; ++i) a.v[i] |= b.v[i];
  return a;
}
// The bits of kMask of each byte, after its bits were shifted to the left (negative: right).
template <int kLeft, int kMask>
inline Bytes shifted(Bytes a) {
  for (uint8_t& x : a.v) x = static_cast<uint8_t>((kLeft >= 0 ? x << (kLeft & 7) : x >> (-kLeft & 7)) & kMask);
  return a;
}
inline I as_words(Bytes a) {
  I r;
  for (int i = 0; i < 16; ++i)
    r.v[i] = static_cast<int32_t>(a.v[4 * i] | a.v[4 * i + 1] << 8 | a.v[4 * i + 2] << 16 |
                                  static_cast<uint32_t>(a.v[4 * i + 3]) << 24);
  return r;
}
#undef TINYCHAT_LANES

// Sums over 32 columns of weight * activation, a lane a row. Four activations are broadcast to every row.
struct Dot {
  static constexpr int kSignedBias = 0;
  I total;

  Dot() = default;
  explicit Dot(I start) : total(start) {}
  void add_signed(Bytes weights, const int8_t* four) {
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 4; ++j) total.v[i] += static_cast<int8_t>(weights.v[4 * i + j]) * four[j];
  }
  void add(Bytes nibbles, const int8_t* four) { add_signed(nibbles, four); }
  void settle() {}
  I value() const { return total; }
};

} // namespace
