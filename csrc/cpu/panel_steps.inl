// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Weights and tokens as bf16, in the layouts that matrix registers (AMX) multiply. 16-bit weights are multiplied more
// precisely: an activation is the sum of two bf16 numbers, and so is a weight of fp16.
#pragma once

#if defined(TINYCHAT_TILES)

namespace {

using tinychat::kPanelColumns;

constexpr int kStepNumbers = 16 * kPanelColumns; // of 32 columns, of 16 tokens or 16 rows of weights

// How many bf16 numbers add up to an activation, and to a weight.
constexpr int activation_parts(WeightFormat format) { return bits_of(format) == 16 ? 2 : 1; }
constexpr int weight_parts(WeightFormat format) { return format == WeightFormat::kF16 ? 2 : 1; }

// Columns of a group whose bits begin at kFirst and at kSecond of each of 16 rows' words, as bf16 pairs.
template <int kFirst, int kSecond>
inline void store_nibbles(const I& words, const GroupScale& of_group, uint16_t* to) {
  store_pairs(to, fma(low_nibbles_to_float(shift_right<kFirst>(words)), of_group.scale, of_group.offset),
              fma(low_nibbles_to_float(shift_right<kSecond>(words)), of_group.scale, of_group.offset));
}
template <int kFirst, int kSecond>
inline void store_bytes(const I& words, const GroupScale& of_group, uint16_t* to) {
  const I mask = broadcast(255);
  store_pairs(to, fma(to_float(shift_right<kFirst>(words) & mask), of_group.scale, of_group.offset),
              fma(to_float(shift_right<kSecond>(words) & mask), of_group.scale, of_group.offset));
}

// panel_step() of 16-bit weights, with zeros behind the last column. fp16 has 11 bits, which two bf16 numbers hold exactly.
template <WeightFormat kFormat>
inline void panel_step_16(const Linear& w, int tile, int step, uint16_t* to, uint16_t* rests) {
  const int begin = step * kPanelColumns, end = w.cols < begin + kPanelColumns ? w.cols : begin + kPanelColumns;
  const auto* line = reinterpret_cast<const uint16_t*>(w.weight) + (static_cast<size_t>(tile) * w.cols + begin) * 16;
  const auto column_of = [&](int column, const uint16_t* numbers) {
    if (column >= end) return broadcast(0.0f);
    return kFormat == WeightFormat::kF16 ? load_half(numbers) : load_bf16(numbers);
  };
  for (int column = begin; column < begin + kPanelColumns; column += 2, line += 32, to += 32, rests += 32) {
    if (kFormat == WeightFormat::kBf16 && column + 1 < end) {
      store_interleaved(to, line);
      continue;
    }
    const F first = column_of(column, line), second = column_of(column + 1, line + 16);
    if constexpr (weight_parts(kFormat) == 1) {
      store_pairs(to, first, second);
    } else {
      const F firsts = rounded_to_bf16(first), seconds = rounded_to_bf16(second);
      store_pairs(to, firsts, seconds);
      store_pairs(rests, first - firsts, second - seconds);
    }
  }
}

// A piece of 16 rows of weights as bf16 pairs, from one of its lines of eight columns on.
template <int kBits, int kLine = 0>
__attribute__((always_inline)) inline void panel_lines(const uint8_t* piece, const GroupScale& of_group, uint16_t* to) {
  if constexpr (kLine < Piece<kBits>::kLines) {
    if constexpr (kBits == 4) {
      const I words = as_words(load_bytes(piece + 64 * kLine));
      store_nibbles<0, 8>(words, of_group, to);
      store_nibbles<16, 24>(words, of_group, to + 32);
      store_nibbles<4, 12>(words, of_group, to + 64);
      store_nibbles<20, 28>(words, of_group, to + 96);
    } else {
      Bytes low, high;
      read_line<kBits, kLine>(piece, low, high);
      const I flip = broadcast(kBits == 8 ? static_cast<int32_t>(0x80808080) : 0); // bytes are read as w + 128
      const I first = as_words(low) ^ flip, second = as_words(high) ^ flip;
      store_bytes<0, 8>(first, of_group, to);
      store_bytes<16, 24>(first, of_group, to + 32);
      store_bytes<0, 8>(second, of_group, to + 64);
      store_bytes<16, 24>(second, of_group, to + 96);
    }
    panel_lines<kBits, kLine + 1>(piece, of_group, to + 128);
  }
}

// A step, 32 columns: 16 rows of weights as bf16 pairs [16 pairs][16 rows][2]. `rests`: for the second parts of the numbers,
// where they have two.
template <WeightFormat kFormat>
void panel_step(const Linear& w, int tile, int step, uint16_t* to, uint16_t* rests) {
  constexpr int kBits = bits_of(kFormat);
  if constexpr (kBits == 16) {
    panel_step_16<kFormat>(w, tile, step, to, rests);
  } else {
    const int column = step * kPanelColumns;
    const uint8_t* piece = w.weight + (static_cast<size_t>(tile) * w.cols + column) * 2 * kBits;
    const size_t index = static_cast<size_t>(tile) * (w.cols / w.group) + column / w.group;
    for (int i = 0; i < kPanelColumns / Piece<kBits>::kColumns; ++i, piece += Piece<kBits>::kBytes) {
      GroupScale of_group = group_scale<kFormat>(w, tile, index + i); // a piece of six bits is a group
      if (kBits == 8) of_group.offset = broadcast(-128.0f) * of_group.scale;
      panel_lines<kBits>(piece, of_group, to + i * kStepNumbers / 2);
    }
  }
}

// The inputs as tiles: [tokens/16][columns/32][16 tokens][32 columns].
void pack_bf16(const float* x, int cols, int row, uint16_t* packed) {
  uint16_t* to = packed + static_cast<size_t>(row / 16) * 16 * cols + row % 16 * kPanelColumns;
  for (int column = 0; column < cols; column += kPanelColumns, to += kStepNumbers) {
    store_bf16(to, load(x + column));
    store_bf16(to + 16, load(x + column + 16));
  }
}

// The inputs as sums of two bf16 numbers: [tokens/16][steps][2][16 tokens][32 columns], with zeros behind the last column.
void pack_two_bf16(const float* x, int cols, int row, uint16_t* packed) {
  const int steps = (cols + kPanelColumns - 1) / kPanelColumns;
  uint16_t* to = packed + static_cast<size_t>(row / 16) * steps * 2 * kStepNumbers + row % 16 * kPanelColumns;
  for (int column = 0; column < cols; column += 16) {
    float last[16] = {};
    if (cols - column < 16) __builtin_memcpy(last, x + column, (cols - column) * sizeof(float));
    const F value = load(cols - column < 16 ? last : x + column), high = rounded_to_bf16(value);
    uint16_t* there = to + static_cast<size_t>(column / kPanelColumns) * 2 * kStepNumbers + column % kPanelColumns;
    store_bf16(there, high);
    store_bf16(there + kStepNumbers, value - high);
  }
  if (const int filled = (cols + 15) / 16 * 16; filled < steps * kPanelColumns) {
    to += static_cast<size_t>(steps - 1) * 2 * kStepNumbers + 16;
    for (uint16_t* part : {to, to + kStepNumbers}) store_bf16(part, broadcast(0.0f));
  }
}

} // namespace
#endif
