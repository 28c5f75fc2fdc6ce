// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// One tile of 16 weight rows times a few rows of activations. A lane is a weight row: a token's value is broadcast to all
// lanes, nothing is summed across them, and the weights are read once, front to back.
#pragma once

namespace {

using tinychat::Activations;
using tinychat::Linear;
using tinychat::Output;
using tinychat::WeightFormat;

// Bytes that decoding asks for ahead of use: the hardware's own prefetch starts anew at every page and every matrix. Bytes
// come best with every other line asked for, into the second level of cache; half bytes, which keep the core busier, with
// every line, into the first: with one thread half as fast again as into the second (Zen 4, huge pages).
constexpr int kAhead = 4096, kAheadFourBits = 6144;

// The zero of symmetric 4-bit weights (GGUF's Q4_0, many of GPTQ's): `zeros` is null where it is everybody's.
constexpr int kCenter = 8;

// Where a group's 4-bit weights are s*q + offset: the stored minimum, or -s*z.
template <WeightFormat kFormat>
inline F group_offset(const Linear& w, size_t index, F scale) {
  if (kFormat == WeightFormat::kW4Min) return load_half(w.mins + index * 16);
  if (w.zeros == nullptr) return scale * broadcast(static_cast<float>(-kCenter));
  uint64_t packed;
  __builtin_memcpy(&packed, w.zeros + index * 8, 8);
  const uint64_t mask = 0x0f0f0f0f0f0f0f0f, nibbles[2] = {packed & mask, packed >> 4 & mask};
  uint8_t zeros[16];
  __builtin_memcpy(zeros, nibbles, 16);
  return broadcast(0.0f) - scale * load_u8(zeros);
}

// Puts 16 products where they belong: beyond the last row of the matrix is somebody else's memory.
inline void put(const Linear& w, int tile, F products, const Output& out, int row) {
  float* to = out.to + row * out.stride;
  const float* bias = w.bias == nullptr ? nullptr : w.bias + 16 * tile;
  const int left = w.rows - 16 * tile;
  if (left >= 16) {
    if (bias != nullptr) products = products + load(bias);
    store(to, out.add ? load(to) + products : products);
    return;
  }
  float numbers[16];
  store(numbers, products);
  for (int i = 0; i < left; ++i) {
    if (bias != nullptr) numbers[i] += bias[i];
    to[i] = out.add ? to[i] + numbers[i] : numbers[i];
  }
}

// --- bytes times bytes ------------------------------------------------------------------------------------------------

// dots += 32 columns of weights: 4 bit in four lines of 64 bytes, eight columns each; 8 bit in eight lines of four.
template <int kRows, bool kFourBits>
inline void dot_32_columns(const uint8_t* line, const int8_t* a, size_t stride, I* dots) {
#if defined(TINYCHAT_DOT_PAIR)
  if constexpr (kRows % 2 == 0) {
    DotPair pairs[kRows / 2];
    for (int r = 0; r < kRows; r += 2) pairs[r / 2] = DotPair(dots[r], dots[r + 1]);
    for (int column = 0; column < 32; column += 8, line += kFourBits ? 64 : 128) {
      const Bytes weights = load_bytes(line);
      const Bytes low = kFourBits ? low_nibbles(weights) : weights;
      const Bytes high = kFourBits ? high_nibbles(weights) : load_bytes(line + 64);
      for (int r = 0; r < kRows; r += 2)
        pairs[r / 2].add(low, high, a + r * stride + column, a + (r + 1) * stride + column);
    }
    for (int r = 0; r < kRows; r += 2) dots[r] = pairs[r / 2].first(), dots[r + 1] = pairs[r / 2].second();
    return;
  }
#endif
  Dot sums[kRows], second(broadcast(0));
  for (int r = 0; r < kRows; ++r) sums[r] = Dot(dots[r]);
  for (int column = 0; column < 32; column += 8, line += kFourBits ? 64 : 128) {
    if (kRows == 1 && kFourBits) __builtin_prefetch(line + kAheadFourBits, 0, 3);
    if (kRows == 1 && !kFourBits) __builtin_prefetch(line + kAhead, 0, 2);
    const Bytes weights = load_bytes(line);
    const Bytes low = kFourBits ? low_nibbles(weights) : weights;
    const Bytes high = kFourBits ? high_nibbles(weights) : load_bytes(line + 64);
    for (int r = 0; r < kRows; ++r) {
      const int8_t* x = a + r * stride + column;
      // With one row, a single chain of dependent dot products would wait for itself: two halve the wait.
      Dot& other = kRows == 1 ? second : sums[r];
      if (kFourBits) sums[r].add(low, x), other.add(high, x + 4);
      else sums[r].add_signed(low, x), other.add_signed(high, x + 4);
    }
  }
  for (int r = 0; r < kRows; ++r) dots[r] = sums[r].value();
  if (kRows == 1) dots[0] = dots[0] + second.value();
}

// The integer part of a group: dots[row] = weights * activations, whose bytes sum up to sums[row * groups].
template <int kRows, bool kFourBits>
class Products {
 public:
  void group(const uint8_t* block, int columns, const int8_t* a, size_t stride, const int32_t* sums, size_t groups,
             I* dots) {
    for (int r = 0; r < kRows; ++r) dots[r] = broadcast(kFourBits ? 0 : -Dot::kSignedBias * sums[r * groups]);
    for (int column = 0; column < columns; column += 32, block += 32 * (kFourBits ? 8 : 16))
      dot_32_columns<kRows, kFourBits>(block, a + column, stride, dots);
  }
};

} // namespace

#if defined(TINYCHAT_TILES)
#include "cpu/tiles.inl"
#endif

namespace {

// `kCentered`: four bits whose zero is everywhere kCenter, which leaves integers: a fifth less to compute, and no zeros to
// read.
template <int kRows, WeightFormat kFormat, bool kCentered = false>
void multiply_bytes_rows(const Linear& w, int tile, const Activations& x, int first, const Output& out) {
  constexpr bool kFourBits = kFormat == WeightFormat::kW4Zero || kFormat == WeightFormat::kW4Min;
  constexpr int kColumnBytes = kFourBits ? 8 : 16;
  const int groups = w.cols / w.group;
  const uint8_t* weights = w.weight + static_cast<size_t>(tile) * w.cols * kColumnBytes;
  const int8_t* a = x.quantized + static_cast<size_t>(first) * x.cols;
  Products<kRows, kFourBits> products;
  F total[kRows];
  for (F& t : total) t = broadcast(0.0f);
  for (int g = 0; g < groups; ++g, weights += w.group * kColumnBytes, a += w.group) {
    const size_t index = static_cast<size_t>(tile) * groups + g;
    const size_t at = static_cast<size_t>(first) * groups + g;
    // Each group of the next tile once while 128 rows meet this one: a tile is too short for the hardware to notice.
    // (kW8Channel is one group, too much to ask for at once.)
    if (kRows >= 8 && kFormat != WeightFormat::kW8Channel && (g ^ first / kRows) % (128 / kRows) == 0)
      for (int line = 0; line < w.group * kColumnBytes; line += 64)
        __builtin_prefetch(weights + static_cast<size_t>(w.cols) * kColumnBytes + line, 0, 3);
    alignas(64) I dots[kRows];
    products.group(weights, w.group, a, x.cols, x.sums + at, groups, dots);
    const F scale = kFormat == WeightFormat::kW8Channel ? load(w.channel_scales + 16 * tile)
                                                        : load_half(w.scales + index * 16);
    for (int r = 0; r < kRows; ++r) {
      const size_t row_at = at + static_cast<size_t>(r) * groups;
      const I dot = kCentered ? dots[r] + broadcast(-kCenter * x.sums[row_at]) : dots[r];
      total[r] = fma(to_float(dot) * broadcast(x.scales[row_at]), scale, total[r]);
    }
    if (kFourBits && !kCentered) {
      const F offset = group_offset<kFormat>(w, index, scale);
      for (int r = 0; r < kRows; ++r)
        total[r] = fma(offset, broadcast(x.scaled_sums[at + static_cast<size_t>(r) * groups]), total[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) put(w, tile, total[r], out, first + r);
}

// --- weights in any format times floats -------------------------------------------------------------------------------

// Two running sums a row: columns in turn, so that consecutive products do not wait for each other.
template <int kRows>
struct Sums {
  F even[kRows], odd[kRows];

  Sums() {
    for (int r = 0; r < kRows; ++r) even[r] = odd[r] = broadcast(0.0f);
  }
  void add_even(F w, const float* a, size_t stride) {
    for (int r = 0; r < kRows; ++r) even[r] = fma(w, broadcast(a[r * stride]), even[r]);
  }
  void add_odd(F w, const float* a, size_t stride) {
    for (int r = 0; r < kRows; ++r) odd[r] = fma(w, broadcast(a[r * stride]), odd[r]);
  }
  void put_to(const Linear& w, int tile, const Output& out, int first) const {
    for (int r = 0; r < kRows; ++r) put(w, tile, even[r] + odd[r], out, first + r);
  }
};

template <int kRows, WeightFormat kFormat>
void w4_float(const Linear& w, int tile, const float* a, size_t stride, const Output& out, int first) {
  const int groups = w.cols / w.group;
  const uint8_t* line = w.weight + static_cast<size_t>(tile) * w.cols * 8;
  const I mask = broadcast(15);
  Sums<kRows> sums;
  for (int g = 0; g < groups; ++g) {
    const size_t index = static_cast<size_t>(tile) * groups + g;
    const F scale = load_half(w.scales + index * 16), offset = group_offset<kFormat>(w, index, scale);
    for (int column = 0; column < w.group; column += 8, line += 64, a += 8) {
      const I words = as_words(load_bytes(line));
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        sums.add_even(fma(to_float(shift_right(words, 8 * j) & mask), scale, offset), a + j, stride);
        sums.add_odd(fma(to_float(shift_right(words, 8 * j + 4) & mask), scale, offset), a + 4 + j, stride);
      }
    }
  }
  sums.put_to(w, tile, out, first);
}

template <int kRows, WeightFormat kFormat>
void w8_float(const Linear& w, int tile, const float* a, size_t stride, const Output& out, int first) {
  const int groups = w.cols / w.group;
  const uint8_t* line = w.weight + static_cast<size_t>(tile) * w.cols * 16;
  const I mask = broadcast(255), flip = broadcast(static_cast<int32_t>(0x80808080));
  Sums<kRows> sums;
  for (int g = 0; g < groups; ++g) {
    const size_t index = static_cast<size_t>(tile) * groups + g;
    const F scale = kFormat == WeightFormat::kW8Channel ? load(w.channel_scales + 16 * tile)
                                                        : load_half(w.scales + index * 16);
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

template <int kRows, F (*kLoad)(const uint16_t*)>
void w16_float(const Linear& w, int tile, const float* a, size_t stride, const Output& out, int first) {
  const uint16_t* line = reinterpret_cast<const uint16_t*>(w.weight) + static_cast<size_t>(tile) * w.cols * 16;
  Sums<kRows> sums;
  int column = 0;
  for (; column + 2 <= w.cols; column += 2, line += 32, a += 2) {
    sums.add_even(kLoad(line), a, stride);
    sums.add_odd(kLoad(line + 16), a + 1, stride);
  }
  if (column < w.cols) sums.add_even(kLoad(line), a, stride);
  sums.put_to(w, tile, out, first);
}

template <int kRows, WeightFormat kFormat>
void multiply_float_rows(const Linear& w, int tile, const Activations& x, int first, const Output& out) {
  const float* a = x.values + static_cast<size_t>(first) * x.cols;
  if constexpr (kFormat == WeightFormat::kW4Zero || kFormat == WeightFormat::kW4Min)
    w4_float<kRows, kFormat>(w, tile, a, x.cols, out, first);
  else if constexpr (kFormat == WeightFormat::kW8Group || kFormat == WeightFormat::kW8Channel)
    w8_float<kRows, kFormat>(w, tile, a, x.cols, out, first);
  else w16_float<kRows, kFormat == WeightFormat::kF16 ? load_half : load_bf16>(w, tile, a, x.cols, out, first);
}

// --- any number of rows, any format -----------------------------------------------------------------------------------

using RowsFunction = void (*)(const Linear&, int, const Activations&, int, const Output&);

// For 8, 4, 2 and 1 rows at a time; for 16 first where there are tiles.
#define TINYCHAT_BY_ROWS(function, ...) \
  function<8, __VA_ARGS__>, function<4, __VA_ARGS__>, function<2, __VA_ARGS__>, function<1, __VA_ARGS__>
#if defined(TINYCHAT_TILES)
#define TINYCHAT_BYTES_BY_ROWS(...) \
  multiply_bytes_rows<16, __VA_ARGS__>, TINYCHAT_BY_ROWS(multiply_bytes_rows, __VA_ARGS__)
#else
#define TINYCHAT_BYTES_BY_ROWS(...) TINYCHAT_BY_ROWS(multiply_bytes_rows, __VA_ARGS__)
#endif

template <size_t kSteps>
void by_rows(const RowsFunction (&functions)[kSteps], const Linear& w, int tile, const Activations& x, int rows,
             const Output& out) {
  int first = 0, at_once = 1 << (kSteps - 1);
  for (const RowsFunction function : functions) {
    for (; first + at_once <= rows; first += at_once) function(w, tile, x, first, out);
    at_once /= 2;
  }
}

void multiply_float(const Linear& w, int tile, const Activations& x, int rows, const Output& out) {
  static const RowsFunction functions[][4] = {{TINYCHAT_BY_ROWS(multiply_float_rows, WeightFormat::kW4Zero)},
                                              {TINYCHAT_BY_ROWS(multiply_float_rows, WeightFormat::kW4Min)},
                                              {TINYCHAT_BY_ROWS(multiply_float_rows, WeightFormat::kW8Group)},
                                              {TINYCHAT_BY_ROWS(multiply_float_rows, WeightFormat::kW8Channel)},
                                              {TINYCHAT_BY_ROWS(multiply_float_rows, WeightFormat::kF16)},
                                              {TINYCHAT_BY_ROWS(multiply_float_rows, WeightFormat::kBf16)}};
  by_rows(functions[static_cast<int>(w.format)], w, tile, x, rows, out);
}

void multiply_bytes(const Linear& w, int tile, const Activations& x, int rows, const Output& out) {
  static const RowsFunction zero[] = {TINYCHAT_BYTES_BY_ROWS(WeightFormat::kW4Zero)};
  static const RowsFunction centered[] = {TINYCHAT_BYTES_BY_ROWS(WeightFormat::kW4Zero, true)};
  static const RowsFunction minimum[] = {TINYCHAT_BYTES_BY_ROWS(WeightFormat::kW4Min)};
  static const RowsFunction group[] = {TINYCHAT_BYTES_BY_ROWS(WeightFormat::kW8Group)};
  static const RowsFunction channel[] = {TINYCHAT_BYTES_BY_ROWS(WeightFormat::kW8Channel)};
  switch (w.format) {
    case WeightFormat::kW4Zero: return by_rows(w.zeros == nullptr ? centered : zero, w, tile, x, rows, out);
    case WeightFormat::kW4Min: return by_rows(minimum, w, tile, x, rows, out);
    case WeightFormat::kW8Group: return by_rows(group, w, tile, x, rows, out);
    default: return by_rows(channel, w, tile, x, rows, out);
  }
}

#undef TINYCHAT_BYTES_BY_ROWS
#undef TINYCHAT_BY_ROWS

} // namespace
