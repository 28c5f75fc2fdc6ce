// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Weights in any format times floats: what the other ways are compared with.
#pragma once

namespace {

// Two running sums a row: columns in turn, so that consecutive products do not wait for each other.
template <int kTokens>
struct Sums {
  F even[kTokens], odd[kTokens];

  Sums() {
    for (int r = 0; r < kTokens; ++r) even[r] = odd[r] = broadcast(0.0f);
  }
  void add_even(F w, const float* a, size_t stride) {
    for (int r = 0; r < kTokens; ++r) even[r] = fma(w, broadcast(a[r * stride]), even[r]);
  }
  void add_odd(F w, const float* a, size_t stride) {
    for (int r = 0; r < kTokens; ++r) odd[r] = fma(w, broadcast(a[r * stride]), odd[r]);
  }
  void put_to(const Linear& w, int tile, const Output& out, int first) const {
    for (int r = 0; r < kTokens; ++r) put(w, tile, even[r] + odd[r], out, first + r);
  }
};

// Sums of the columns of a piece from a line on.
template <int kBits, int kLine = 0, int kTokens>
inline void add_float_lines(const uint8_t* piece, const GroupScale& of_group, const float* a, size_t stride,
                            Sums<kTokens>& sums) {
  if constexpr (kLine < Piece<kBits>::kLines) {
    const I mask = broadcast(255);
    Bytes low, high;
    read_line<kBits, kLine>(piece, low, high);
    const I lows = as_words(low), highs = as_words(high);
    const float* x = a + 8 * kLine;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      sums.add_even(fma(to_float(shift_right(lows, 8 * j) & mask), of_group.scale, of_group.offset), x + j, stride);
      sums.add_odd(fma(to_float(shift_right(highs, 8 * j) & mask), of_group.scale, of_group.offset), x + 4 + j, stride);
    }
    add_float_lines<kBits, kLine + 1>(piece, of_group, a, stride, sums);
  }
}

// Weights of four to six bits.
template <int kTokens, WeightFormat kFormat>
void small_float(const Linear& w, int tile, const float* a, size_t stride, const Output& out, int first) {
  constexpr int kBits = bits_of(kFormat);
  const int groups = w.cols / w.group;
  const uint8_t* piece = w.weight + static_cast<size_t>(tile) * w.cols * 2 * kBits;
  Sums<kTokens> sums;
  for (int g = 0; g < groups; ++g) {
    const GroupScale of_group = group_scale<kFormat>(w, tile, static_cast<size_t>(tile) * groups + g);
    for (int column = 0; column < w.group; column += Piece<kBits>::kColumns) {
      add_float_lines<kBits>(piece, of_group, a, stride, sums);
      piece += Piece<kBits>::kBytes, a += Piece<kBits>::kColumns;
    }
  }
  sums.put_to(w, tile, out, first);
}

template <int kTokens, WeightFormat kFormat>
void w8_float(const Linear& w, int tile, const float* a, size_t stride, const Output& out, int first) {
  const int groups = w.cols / w.group;
  const uint8_t* line = w.weight + static_cast<size_t>(tile) * w.cols * 16;
  const I mask = broadcast(255), flip = broadcast(static_cast<int32_t>(0x80808080));
  Sums<kTokens> sums;
  for (int g = 0; g < groups; ++g) {
    const size_t index = static_cast<size_t>(tile) * groups + g;
    const F scale = group_scale<kFormat>(w, tile, index).scale;
    const F offset = broadcast(-128.0f) * scale; // of the bytes read as w + 128
    for (int column = 0; column < w.group; column += 4, line += 64, a += 4) {
      const I words = as_words(load_bytes(line)) ^ flip;
#pragma GCC unroll 2
      for (int j = 0; j < 4; j += 2) {
        sums.add_even(fma(to_float(shift_right(words, 8 * j) & mask), scale, offset), a + j, stride);
        sums.add_odd(fma(to_float(shift_right(words, 8 * j + 8) & mask), scale, offset), a + j + 1, stride);
      }
    }
  }
  sums.put_to(w, tile, out, first);
}

template <int kTokens, F (*kLoad)(const uint16_t*)>
void w16_float(const Linear& w, int tile, const float* a, size_t stride, const Output& out, int first) {
  const uint16_t* line = reinterpret_cast<const uint16_t*>(w.weight) + static_cast<size_t>(tile) * w.cols * 16;
  Sums<kTokens> sums;
  int column = 0;
  for (; column + 2 <= w.cols; column += 2, line += 32, a += 2) {
    if (kTokens < 8) __builtin_prefetch(line + kAhead, 0, 3);
    sums.add_even(kLoad(line), a, stride);
    sums.add_odd(kLoad(line + 16), a + 1, stride);
  }
  if (column < w.cols) sums.add_even(kLoad(line), a, stride);
  sums.put_to(w, tile, out, first);
}

template <int kTokens, WeightFormat kFormat>
void gemm_float_tokens(const Linear& w, int tile, const Activations& x, int first, const Output& out) {
  const float* a = x.values + static_cast<size_t>(first) * x.cols;
  if constexpr (bits_of(kFormat) < 8) small_float<kTokens, kFormat>(w, tile, a, x.cols, out, first);
  else if constexpr (kFormat == WeightFormat::kW8Group || kFormat == WeightFormat::kW8Channel)
    w8_float<kTokens, kFormat>(w, tile, a, x.cols, out, first);
  else w16_float<kTokens, kFormat == WeightFormat::kF16 ? load_half : load_bf16>(w, tile, a, x.cols, out, first);
}

} // namespace
