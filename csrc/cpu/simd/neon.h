// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Sixteen lanes on 64-bit ARM: four registers each; with the dotprod extension the dot product is one instruction.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace {

struct F {
  float32x4_t v[4];
};
#define TINYCHAT_LANES(type, expression)           \
  type r;                                          \
  for (int i = 0; i < 4; ++i) r.v[i] = expression; \
  return r
inline F load(const float* p) { TINYCHAT_LANES(F, vld1q_f32(p + 4 * i)); }
inline F load_half(const uint16_t* p) { TINYCHAT_LANES(F, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i)))); }
inline F load_bf16(const uint16_t* p) {
  TINYCHAT_LANES(F, vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}
inline F load_u8(const uint8_t* p) {
  const uint16x8_t low = vmovl_u8(vld1_u8(p)), high = vmovl_u8(vld1_u8(p + 8));
  return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
           vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
}
inline F load_i8(const int8_t* p) {
  const int16x8_t low = vmovl_s8(vld1_s8(p)), high = vmovl_s8(vld1_s8(p + 8));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}
inline void store(float* p, F a) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
}
inline F broadcast(float a) { TINYCHAT_LANES(F, vdupq_n_f32(a)); }
inline F operator+(F a, F b) { TINYCHAT_LANES(F, vaddq_f32(a.v[i], b.v[i])); }
inline F operator-(F a, F b) { TINYCHAT_LANES(F, vsubq_f32(a.v[i], b.v[i])); }
inline F operator*(F a, F b) { TINYCHAT_LANES(F, vmulq_f32(a.v[i], b.v[i])); }
inline F operator/(F a, F b) { TINYCHAT_LANES(F, vdivq_f32(a.v[i], b.v[i])); }
inline F fma(F a, F b, F c) { TINYCHAT_LANES(F, vfmaq_f32(c.v[i], a.v[i], b.v[i])); }
inline F max(F a, F b) { TINYCHAT_LANES(F, vmaxq_f32(a.v[i], b.v[i])); }
inline F min(F a, F b) { TINYCHAT_LANES(F, vminq_f32(a.v[i], b.v[i])); }
inline float sum(F a) { return vaddvq_f32(vaddq_f32(vaddq_f32(a.v[0], a.v[1]), vaddq_f32(a.v[2], a.v[3]))); }
inline float highest(F a) { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.v[0], a.v[1]), vmaxq_f32(a.v[2], a.v[3]))); }

struct I {
  int32x4_t v[4];
};
inline I broadcast(int32_t a) { TINYCHAT_LANES(I, vdupq_n_s32(a)); }
inline I operator+(I a, I b) { TINYCHAT_LANES(I, vaddq_s32(a.v[i], b.v[i])); }
inline F to_float(I a) { TINYCHAT_LANES(F, vcvtq_f32_s32(a.v[i])); }
inline I round(F a) { TINYCHAT_LANES(I, vcvtnq_s32_f32(a.v[i])); }
inline int32_t sum(I a) { return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3]))); }
inline void store_i8(int8_t* p, I a) {
  const int16x8_t low = vcombine_s16(vqmovn_s32(a.v[0]), vqmovn_s32(a.v[1]));
  const int16x8_t high = vcombine_s16(vqmovn_s32(a.v[2]), vqmovn_s32(a.v[3]));
  vst1q_s8(p, vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
}
inline F power_of_two(I n) {
  TINYCHAT_LANES(F, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n.v[i], vdupq_n_s32(127)), 23)));
}
inline I shift_right(I a, int bits) {
  const int32x4_t count = vdupq_n_s32(-bits);
  TINYCHAT_LANES(I, vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a.v[i]), count)));
}
inline I shift_left(I a, int bits) { TINYCHAT_LANES(I, vshlq_s32(a.v[i], vdupq_n_s32(bits))); }
inline F as_float(I a) { TINYCHAT_LANES(F, vreinterpretq_f32_s32(a.v[i])); }
inline I operator&(I a, I b) { TINYCHAT_LANES(I, vandq_s32(a.v[i], b.v[i])); }
inline I operator^(I a, I b) { TINYCHAT_LANES(I, veorq_s32(a.v[i], b.v[i])); }

// Sixteen rows of four bytes each.
struct Bytes {
  uint8x16_t v[4];
};
inline Bytes load_bytes(const uint8_t* p) { TINYCHAT_LANES(Bytes, vld1q_u8(p + 16 * i)); }
inline Bytes low_nibbles(Bytes a) { TINYCHAT_LANES(Bytes, vandq_u8(a.v[i], vdupq_n_u8(15))); }
inline Bytes high_nibbles(Bytes a) { TINYCHAT_LANES(Bytes, vshrq_n_u8(a.v[i], 4)); }
inline Bytes operator|(Bytes a, Bytes b) { TINYCHAT_LANES(Bytes, vorrq_u8(a.v[i], b.v[i])); }
// The bits of kMask of each byte, after its bits were shifted to the left (negative: right).
template <int kLeft, int kMask>
inline Bytes shifted(Bytes a) {
  const uint8x16_t mask = vdupq_n_u8(kMask);
  const int8x16_t count = vdupq_n_s8(kLeft);
  TINYCHAT_LANES(Bytes, vandq_u8(vshlq_u8(a.v[i], count), mask));
}
inline I as_words(Bytes a) { TINYCHAT_LANES(I, vreinterpretq_s32_u8(a.v[i])); }
#undef TINYCHAT_LANES

// Sums over 32 columns of weight * activation, a lane a row. Four activations are broadcast to every row.
struct Dot {
  static constexpr int kSignedBias = 0;
  int32x4_t v[4];

  Dot() = default;
  explicit Dot(I start) : v{start.v[0], start.v[1], start.v[2], start.v[3]} {}
  void add_signed(Bytes weights, const int8_t* four) {
    int32_t word;
    __builtin_memcpy(&word, four, 4);
    const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(word));
    for (int i = 0; i < 4; ++i) {
      const int8x16_t w = vreinterpretq_s8_u8(weights.v[i]);
#if defined(__ARM_FEATURE_DOTPROD)
      v[i] = vdotq_s32(v[i], w, x);
#else
      // Products of four neighbours, added in pairs twice.
      const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
      const int16x8_t high = vmull_s8(vget_high_s8(w), vget_high_s8(x));
      v[i] = vaddq_s32(v[i], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
    }
  }
  void add(Bytes nibbles, const int8_t* four) { add_signed(nibbles, four); } // 0 … 63 are signed bytes too
  void settle() {}
  I value() const { return {{v[0], v[1], v[2], v[3]}}; }
};

#if defined(__ARM_FEATURE_MATMUL_INT8)
#define TINYCHAT_DOT_PAIR
// Two tokens at once: the instruction multiplies 2 rows x 8 columns by 8 columns x 2 tokens.
struct DotPair {
  int32x4_t v[8]; // rows 2i and 2i + 1: row, token = 00 01 10 11

  DotPair() = default;
  DotPair(I first, I second) {
    for (int i = 0; i < 4; ++i) {
      v[2 * i] = vzip1q_s32(first.v[i], second.v[i]);
      v[2 * i + 1] = vzip2q_s32(first.v[i], second.v[i]);
    }
  }
  // Columns 0 … 3 and 4 … 7 of 16 rows; eight activations of each token.
  void add(Bytes low, Bytes high, const int8_t* first, const int8_t* second) {
    const int8x16_t x = vcombine_s8(vld1_s8(first), vld1_s8(second));
    for (int i = 0; i < 4; ++i) {
      const uint32x4_t a = vreinterpretq_u32_u8(low.v[i]), b = vreinterpretq_u32_u8(high.v[i]);
      v[2 * i] = vmmlaq_s32(v[2 * i], vreinterpretq_s8_u32(vzip1q_u32(a, b)), x);
      v[2 * i + 1] = vmmlaq_s32(v[2 * i + 1], vreinterpretq_s8_u32(vzip2q_u32(a, b)), x);
    }
  }
  I first() const {
    I r;
    for (int i = 0; i < 4; ++i) r.v[i] = vuzp1q_s32(v[2 * i], v[2 * i + 1]);
    return r;
  }
  I second() const {
    I r;
    for (int i = 0; i < 4; ++i) r.v[i] = vuzp2q_s32(v[2 * i], v[2 * i + 1]);
    return r;
  }
};
#endif

} // namespace
