// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Sixteen rows of activations at a time, for instruction sets with matrix registers (AMX): integers, so the sums are those
// of every other set.
#pragma once

namespace {

template <bool kFourBits>
class Products<16, kFourBits> {
 public:
  void group(const uint8_t* line, int columns, const int8_t* a, size_t stride, const int32_t*, size_t, I* dots) {
    tiles_.clear_sums();
    int column = 0;
    for (; column + 64 <= columns; column += 64, line += kBytes<64>) add<64>(line, a + column, stride);
    if (column < columns) add<32>(line, a + column, stride);
    tiles_.store_sums(dots);
  }

 private:
  template <int kColumns>
  static constexpr int kBytes = kColumns * (kFourBits ? 8 : 16);

  template <int kColumns>
  void add(const uint8_t* line, const int8_t* a, size_t stride) {
    if (!kFourBits) {
      tiles_.add<kColumns, true>(a, stride, line);
      return;
    }
    alignas(64) uint8_t bytes[kColumns * 16];
    for (uint8_t* to = bytes; to < bytes + sizeof(bytes); to += 128, line += 64) {
      const Bytes weights = load_bytes(line);
      store(to, low_nibbles(weights));
      store(to + 64, high_nibbles(weights));
    }
    tiles_.add<kColumns, false>(a, stride, bytes);
  }

  Tiles tiles_;
};

} // namespace
