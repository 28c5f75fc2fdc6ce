// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// IEEE 754 half precision and bfloat16, one value at a time, for code that runs before an instruction set is chosen.
#pragma once

#include <cstdint>
#include <cstring>

namespace tinychat {

static inline float bf16_to_float(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Rounds to nearest, ties to even; without branches, so that compilers can vectorize loops over it.
static inline uint16_t float_to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, nan = bits >> 16 | 0x40;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

static inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7fff;
  uint32_t bits;
  if (magnitude >= 0x7c00) {
    bits = sign | 0x7f800000 | (magnitude & 0x3ff) << 13; // infinity, NaN
  } else if (magnitude >= 0x400) {
    bits = sign | ((magnitude << 13) + ((127 - 15) << 23));
  } else {
    // Subnormal: magnitude * 2^-24, which a float holds exactly.
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    std::memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Rounds to nearest, ties to even.
static inline uint16_t float_to_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;  // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds to more than 65504
  if (magnitude < 0x38800000) {
    // Subnormal: adding 0.5 leaves the result, rounded by the addition itself, in the low bits.
    float positive;
    std::memcpy(&positive, &magnitude, 4);
    positive += 0.5f;
    uint32_t rounded;
    std::memcpy(&rounded, &positive, 4);
    return static_cast<uint16_t>(sign | (rounded - 0x3f000000));
  }
  const uint32_t odd = magnitude >> 13 & 1;
  return static_cast<uint16_t>(sign | ((magnitude + 0xfff + odd - ((127 - 15) << 23)) >> 13));
}

} // namespace tinychat
