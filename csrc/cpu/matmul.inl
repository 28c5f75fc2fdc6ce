// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A GEMM of one tile of 16 weight rows and a few tokens. A lane is a weight row: a token's value is broadcast to all
// lanes, nothing is summed across them, and the weights are read once, front to back. Activations are bytes, or 16 bits in
// two digits of a byte each: 256 * first + second. The digits' integer products are joined before the scale.
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

// Puts 16 products where they belong: beyond the last row of the matrix is somebody else's memory. Always inlined: a function
// with a vector as its argument returns without vzeroupper, and all SSE code that follows then runs at half its speed.
__attribute__((always_inline)) inline void put(const Linear& w, int tile, F products, const Output& out, int row) {
  float* to = out.at(row);
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

// dots += 32 columns of weights: 4 bit in four lines of 64 bytes, eight columns each; 8 bit in eight lines of four. A part
// is a digit of a token; `kAsks`: whether memory is asked ahead of use, as one token does.
template <int kParts, bool kFourBits, bool kAsks>
inline void dot_32_columns(const uint8_t* line, const int8_t* a, size_t stride, I* dots) {
#if defined(TINYCHAT_DOT_PAIR)
  if constexpr (kParts % 2 == 0) {
    DotPair pairs[kParts / 2];
    for (int p = 0; p < kParts; p += 2) pairs[p / 2] = DotPair(dots[p], dots[p + 1]);
    for (int column = 0; column < 32; column += 8, line += kFourBits ? 64 : 128) {
      if (kAsks) __builtin_prefetch(line + (kFourBits ? kAheadFourBits : kAhead));
      const Bytes weights = load_bytes(line);
      const Bytes low = kFourBits ? low_nibbles(weights) : weights;
      const Bytes high = kFourBits ? high_nibbles(weights) : load_bytes(line + 64);
      for (int p = 0; p < kParts; p += 2)
        pairs[p / 2].add(low, high, a + p * stride + column, a + (p + 1) * stride + column);
    }
    for (int p = 0; p < kParts; p += 2) dots[p] = pairs[p / 2].first(), dots[p + 1] = pairs[p / 2].second();
    return;
  }
#endif
  // With few parts, a single chain of dependent dot products would wait for itself: two halve the wait.
  constexpr bool kTwoChains = kParts <= 2;
  Dot sums[kParts], seconds[kTwoChains ? kParts : 1];
  for (int p = 0; p < kParts; ++p) sums[p] = Dot(dots[p]);
  if (kTwoChains)
    for (int p = 0; p < kParts; ++p) seconds[p] = Dot(broadcast(0));
  for (int column = 0; column < 32; column += 8, line += kFourBits ? 64 : 128) {
    if (kAsks && kFourBits) __builtin_prefetch(line + kAheadFourBits, 0, 3);
    if (kAsks && !kFourBits) __builtin_prefetch(line + kAhead, 0, 2);
    const Bytes weights = load_bytes(line);
    const Bytes low = kFourBits ? low_nibbles(weights) : weights;
    const Bytes high = kFourBits ? high_nibbles(weights) : load_bytes(line + 64);
    for (int p = 0; p < kParts; ++p) {
      const int8_t* x = a + p * stride + column;
      Dot& other = kTwoChains ? seconds[p] : sums[p];
      if (kFourBits) sums[p].add(low, x), other.add(high, x + 4);
      else sums[p].add_signed(low, x), other.add_signed(high, x + 4);
    }
  }
  for (int p = 0; p < kParts; ++p) dots[p] = kTwoChains ? sums[p].value() + seconds[p].value() : sums[p].value();
}

// The integer part of a group: dots[row] = weights * activations, which sum up to sums[row * groups].
template <int kTokens, bool kFourBits, int kDigits>
class Products {
 public:
  void group(const uint8_t* block, int columns, const int8_t* a, size_t stride, const int32_t* sums, size_t groups,
             I* dots) {
    I parts[kTokens * kDigits];
    for (I& part : parts) part = broadcast(0);
    for (int column = 0; column < columns; column += 32, block += 32 * (kFourBits ? 8 : 16))
      dot_32_columns<kTokens * kDigits, kFourBits, kTokens == 1>(block, a + column, stride, parts);
    for (int r = 0; r < kTokens; ++r) {
      dots[r] = kDigits == 1 ? parts[r] : shift_left(parts[2 * r], 8) + parts[2 * r + 1];
      if (!kFourBits && Dot::kSignedBias != 0) dots[r] = dots[r] + broadcast(-Dot::kSignedBias * sums[r * groups]);
    }
  }
};

// Columns that share a scale of the activations. Of 16 bits a whole row is too much: of the small numbers beside a large one
// nothing would be left, and the sums would not fit 32 bits.
template <WeightFormat kFormat, int kDigits>
inline int activation_group(const Linear& w) {
  return kFormat == WeightFormat::kW8Channel && kDigits == 2 ? tinychat::kChannelDigitGroup : w.group;
}

// `kCentered`: four bits whose zero is everywhere kCenter, which leaves integers: a fifth less to compute, and no zeros to
// read.
template <int kTokens, int kDigits, WeightFormat kFormat, bool kCentered = false>
void gemm_integer_tokens(const Linear& w, int tile, const Activations& x, int first, const Output& out) {
  constexpr bool kFourBits = kFormat == WeightFormat::kW4Zero || kFormat == WeightFormat::kW4Min;
  constexpr int kColumnBytes = kFourBits ? 8 : 16;
  const int group = activation_group<kFormat, kDigits>(w), groups = w.cols / group;
  const uint8_t* weights = w.weight + static_cast<size_t>(tile) * w.cols * kColumnBytes;
  const int8_t* a = x.quantized + static_cast<size_t>(first) * kDigits * x.cols;
  Products<kTokens, kFourBits, kDigits> products;
  F total[kTokens];
  for (F& t : total) t = broadcast(0.0f);
  for (int g = 0; g < groups; ++g, weights += group * kColumnBytes, a += group) {
    const size_t index = static_cast<size_t>(tile) * groups + g;
    const size_t at = static_cast<size_t>(first) * groups + g;
    // Each group of the next tile once while 128 tokens meet this one: a tile is too short for the hardware to notice.
    // (kW8Channel may be one group, too much to ask for at once.)
    if (kTokens >= 8 && kFormat != WeightFormat::kW8Channel && (g ^ first / kTokens) % (128 / kTokens) == 0)
      for (int line = 0; line < group * kColumnBytes; line += 64)
        __builtin_prefetch(weights + static_cast<size_t>(w.cols) * kColumnBytes + line, 0, 3);
    alignas(64) I dots[kTokens];
    products.group(weights, group, a, x.cols, x.sums + at, groups, dots);
    const F scale = kFormat == WeightFormat::kW8Channel ? load(w.channel_scales + 16 * tile)
                                                        : load_half(w.scales + index * 16);
    for (int r = 0; r < kTokens; ++r) {
      const size_t row_at = at + static_cast<size_t>(r) * groups;
      const I dot = kCentered ? dots[r] + broadcast(-kCenter * x.sums[row_at]) : dots[r];
      total[r] = fma(to_float(dot) * broadcast(x.scales[row_at]), scale, total[r]);
    }
    if (kFourBits && !kCentered) {
      const F offset = group_offset<kFormat>(w, index, scale);
      for (int r = 0; r < kTokens; ++r)
        total[r] = fma(offset, broadcast(x.scaled_sums[at + static_cast<size_t>(r) * groups]), total[r]);
    }
  }
  for (int r = 0; r < kTokens; ++r) put(w, tile, total[r], out, first + r);
}

} // namespace

#include "cpu/matmul_float.inl"

namespace {

// --- any number of num_tokens, any format -----------------------------------------------------------------------------------

using GemmFunction = void (*)(const Linear&, int, const Activations&, int, const Output&);

// For 8, 4, 2 and 1 tokens at a time.
#define TINYCHAT_BY_TOKENS(function, ...) \
  function<8, __VA_ARGS__>, function<4, __VA_ARGS__>, function<2, __VA_ARGS__>, function<1, __VA_ARGS__>
#define TINYCHAT_INT8_BY_TOKENS(...) TINYCHAT_BY_TOKENS(gemm_integer_tokens, 1, __VA_ARGS__)
#define TINYCHAT_DIGITS_BY_TOKENS(...) TINYCHAT_BY_TOKENS(gemm_integer_tokens, 2, __VA_ARGS__)

template <size_t kSteps>
void by_tokens(const GemmFunction (&functions)[kSteps], const Linear& w, int tile, const Activations& x, int num_tokens,
               const Output& out) {
  int first = 0, at_once = 1 << (kSteps - 1);
  for (const GemmFunction function : functions) {
    for (; first + at_once <= num_tokens; first += at_once) function(w, tile, x, first, out);
    at_once /= 2;
  }
}

void gemm_float(const Linear& w, int tile, const Activations& x, int num_tokens, const Output& out) {
  static const GemmFunction functions[][4] = {{TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW4Zero)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW4Min)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW8Group)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW8Channel)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kF16)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kBf16)}};
  by_tokens(functions[static_cast<int>(w.format)], w, tile, x, num_tokens, out);
}

#define TINYCHAT_GEMM_INTEGERS(name, by_tokens_of)                                                                     \
  void name(const Linear& w, int tile, const Activations& x, int num_tokens, const Output& out) {                      \
    static const GemmFunction zero[] = {by_tokens_of(WeightFormat::kW4Zero)};                                          \
    static const GemmFunction centered[] = {by_tokens_of(WeightFormat::kW4Zero, true)};                                \
    static const GemmFunction minimum[] = {by_tokens_of(WeightFormat::kW4Min)};                                        \
    static const GemmFunction group[] = {by_tokens_of(WeightFormat::kW8Group)};                                        \
    static const GemmFunction channel[] = {by_tokens_of(WeightFormat::kW8Channel)};                                    \
    switch (w.format) {                                                                                                \
      case WeightFormat::kW4Zero: return by_tokens(w.zeros == nullptr ? centered : zero, w, tile, x, num_tokens, out); \
      case WeightFormat::kW4Min: return by_tokens(minimum, w, tile, x, num_tokens, out);                               \
      case WeightFormat::kW8Group: return by_tokens(group, w, tile, x, num_tokens, out);                               \
      default: return by_tokens(channel, w, tile, x, num_tokens, out);                                                 \
    }                                                                                                                  \
  }
TINYCHAT_GEMM_INTEGERS(gemm_int8, TINYCHAT_INT8_BY_TOKENS)
TINYCHAT_GEMM_INTEGERS(gemm_two_digits, TINYCHAT_DIGITS_BY_TOKENS)

#undef TINYCHAT_GEMM_INTEGERS
#undef TINYCHAT_DIGITS_BY_TOKENS
#undef TINYCHAT_INT8_BY_TOKENS
#undef TINYCHAT_BY_TOKENS

} // namespace
