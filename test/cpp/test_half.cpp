// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Every number of 16 bits survives the way to float and back, and rounding is to nearest, ties to even.

#include "check.h"
#include "cpu/half.h"

using tinychat::bf16_to_float;
using tinychat::float_to_bf16;
using tinychat::float_to_half;
using tinychat::half_to_float;

int main() {
  for (int bits = 0; bits < 0x10000; ++bits) {
    const bool nan = (bits & 0x7c00) == 0x7c00 && (bits & 0x3ff) != 0;
    if (!nan) CHECK(float_to_half(half_to_float(static_cast<uint16_t>(bits))) == bits, std::to_string(bits));
    else CHECK(std::isnan(half_to_float(static_cast<uint16_t>(bits))), std::to_string(bits));
  }
  for (int bits = 0; bits < 0x10000; ++bits) {
    const float value = bf16_to_float(static_cast<uint16_t>(bits));
    if (!std::isnan(value)) CHECK(float_to_bf16(value) == bits, std::to_string(bits));
    else CHECK(std::isnan(bf16_to_float(float_to_bf16(value))), std::to_string(bits));
  }
  CHECK(float_to_bf16(1.0f + 0x1p-8f) == 0x3f80, "tie to even, down");
  CHECK(float_to_bf16(1.0f + 3 * 0x1p-8f) == 0x3f82, "tie to even, up");
  CHECK(float_to_bf16(std::nanf("0x3fff")) > 0x7f80, "all of a NaN's bits are low ones");
  CHECK(float_to_half(1.0f + 0x1p-11f) == 0x3c00, "tie to even, down");
  CHECK(float_to_half(1.0f + 3 * 0x1p-11f) == 0x3c02, "tie to even, up");
  CHECK(float_to_half(65519.0f) == 0x7bff, "largest number that does not overflow");
  CHECK(float_to_half(65520.0f) == 0x7c00, "smallest that does");
  CHECK(float_to_half(0x1p-25f) == 0, "half of the smallest subnormal, to even");
  CHECK(float_to_half(0x1.8p-24f) == 2, "subnormal tie, to even");
  return 0;
}
