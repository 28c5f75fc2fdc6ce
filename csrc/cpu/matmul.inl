// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A GEMM of one tile of 16 weight rows and a few tokens. A lane is a weight row: a token's value is broadcast to all
// lanes, nothing is summed across them, and the weights are read once, front to back. Activations are bytes, or 16 bits in
// two digits of a byte each: 256 * first + second. The digits' integer products are joined before the scale.
#pragma once

namespace {

using tinychat::Activations;
using tinychat::bits_of;
using tinychat::Linear;
using tinychat::Output;
using tinychat::WeightFormat;

// Bytes that decoding asks for ahead of use: the hardware's own prefetch starts anew at every page and every matrix. Bytes
// come best with every other line asked for, into the second level of cache; half bytes, which keep the core busier, with
// every line, into the first: with one thread half as fast again as into the second (Zen 4, huge pages).
constexpr int kAhead = 4096, kAheadFourBits = 6144;

// The zero of symmetric 4-bit weights (GGUF's Q4_0, many of GPTQ's): `zeros` is null where it is everybody's.
constexpr int kCenter = 8;

// 16 pairs of numbers of six bits: their low nibbles in 16 bytes, the first's in the low nibble; the two high bits of both in
// 8 bytes, row j in the low nibble, row j + 8 in the high one.
inline void six_bits(const uint8_t* pairs, F& first, F& second) {
  typedef uint64_t Two __attribute__((vector_size(16)));
  Two low;
  uint64_t high;
  __builtin_memcpy(&low, pairs, 16);
  __builtin_memcpy(&high, pairs + 16, 8);
  const Two halves = {high, high >> 4};
  const auto each = [](uint64_t byte) { return Two{byte, byte} * 0x0101010101010101; };
  const Two firsts = (low & each(15)) | (halves & each(3)) << 4;
  const Two seconds = (low >> 4 & each(15)) | (halves & each(12)) << 2;
  uint8_t bytes[2][16];
  __builtin_memcpy(bytes[0], &firsts, 16);
  __builtin_memcpy(bytes[1], &seconds, 16);
  first = load_u8(bytes[0]), second = load_u8(bytes[1]);
}

// The weights of a group are scale*q + offset; bytes are scale*q alone.
struct GroupScale {
  F scale, offset;
};

// `index`: the number of the group among those of all tiles. Formats of five bits share their kernels, which know them as
// kW5K.
template <WeightFormat kFormat>
__attribute__((always_inline)) inline GroupScale group_scale(const Linear& w, int tile, size_t index) {
  if constexpr (kFormat == WeightFormat::kW8Channel) return {load(w.channel_scales + 16 * tile), broadcast(0.0f)};
  if constexpr (kFormat == WeightFormat::kW6K) {
    const F scale = load_half(w.scales + index / (tinychat::kBlock / 16) * 16) *
                    load_i8(reinterpret_cast<const int8_t*>(w.subscales + index * 16));
    return {scale, scale * broadcast(-32.0f)};
  }
  if (kFormat == WeightFormat::kW4K || (kFormat == WeightFormat::kW5K && w.format == WeightFormat::kW5K)) {
    const size_t at = index / (tinychat::kBlock / 32) * 16;
    F s, m;
    six_bits(w.subscales + index * 24, s, m);
    return {load_half(w.scales + at) * s, broadcast(0.0f) - load_half(w.mins + at) * m};
  }
  const F scale = load_half(w.scales + index * 16);
  if (kFormat == WeightFormat::kW4Min || (kFormat == WeightFormat::kW5K && w.format == WeightFormat::kW5Min))
    return {scale, load_half(w.mins + index * 16)};
  if (kFormat != WeightFormat::kW4Zero || w.zeros == nullptr)
    return {scale, scale * broadcast(static_cast<float>(kFormat == WeightFormat::kW4Zero ? -kCenter : -16))};
  uint64_t packed;
  __builtin_memcpy(&packed, w.zeros + index * 8, 8);
  const uint64_t mask = 0x0f0f0f0f0f0f0f0f, nibbles[2] = {packed & mask, packed >> 4 & mask};
  uint8_t zeros[16];
  __builtin_memcpy(zeros, nibbles, 16);
  return {scale, broadcast(0.0f) - scale * load_u8(zeros)};
}

// The columns whose bits lie together: 32 in lines of 64 bytes, a line for eight columns (two lines, if a weight is a byte),
// and a last line for the fifth bits. Of six bits 16, and their last line has the fifth and sixth.
template <int kBits>
struct Piece {
  static constexpr int kColumns = kBits == 6 ? 16 : 32, kLines = kColumns / 8, kBytes = kColumns * 2 * kBits;
};

// Columns 0 … 3 and 4 … 7 of the line, as bytes; of less than eight bits 0 … 2^bits - 1.
template <int kBits, int kLine>
__attribute__((always_inline)) inline void read_line(const uint8_t* piece, Bytes& low, Bytes& high) {
  if constexpr (kBits == 8) {
    low = load_bytes(piece + 128 * kLine), high = load_bytes(piece + 128 * kLine + 64);
  } else {
    const Bytes nibbles = load_bytes(piece + 64 * kLine);
    low = low_nibbles(nibbles), high = high_nibbles(nibbles);
    if constexpr (kBits > 4) {
      const Bytes others = load_bytes(piece + 64 * Piece<kBits>::kLines);
      constexpr int kHigh = kBits - 4, kMask = ((1 << kHigh) - 1) << 4, kShift = 4 - 2 * kLine * kHigh;
      low = low | shifted<kShift, kMask>(others), high = high | shifted<kShift - kHigh, kMask>(others);
    }
  }
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

// Asks memory for what lies ahead of a line.
template <int kBits, int kLine>
inline void ask_ahead(const uint8_t* piece) {
  if (kBits == 8) return __builtin_prefetch(piece + 128 * kLine + kAhead, 0, 2);
  __builtin_prefetch(piece + 64 * kLine + kAheadFourBits, 0, 3);
  if (kBits > 4 && kLine == 0) __builtin_prefetch(piece + 64 * Piece<kBits>::kLines + kAheadFourBits, 0, 3);
}

// The sums of a piece, for each part: a digit of a token.
template <int kParts>
class PartSums {
 public:
  __attribute__((always_inline)) explicit PartSums(const I* dots) {
    for (int p = 0; p < kParts; ++p) sums_[p] = Dot(dots[p]);
    if (kTwoChains)
      for (int p = 0; p < kParts; ++p) seconds_[p] = Dot(broadcast(0));
  }
  template <int kBits, int kLine>
  __attribute__((always_inline)) void add(Bytes low, Bytes high, const int8_t* a, size_t stride) {
    // How many products of a pair fit the 16 bits in which some instruction sets add them.
    constexpr int kFit = kBits == 6 ? 2 : kBits == 5 ? 4 : 8, kAdded = (kLine + 1) * (kTwoChains ? 1 : 2);
    for (int p = 0; p < kParts; ++p) {
      const int8_t* x = a + p * stride;
      Dot& other = kTwoChains ? seconds_[p] : sums_[p];
      if (kBits < 8) sums_[p].add(low, x), other.add(high, x + 4);
      else sums_[p].add_signed(low, x), other.add_signed(high, x + 4);
      if (kBits < 8 && kAdded % kFit == 0 && kLine + 1 < Piece<kBits>::kLines) {
        sums_[p].settle();
        if (kTwoChains) other.settle();
      }
    }
  }
  __attribute__((always_inline)) void put_to(I* dots) const {
    for (int p = 0; p < kParts; ++p) dots[p] = kTwoChains ? sums_[p].value() + seconds_[p].value() : sums_[p].value();
  }

 private:
  // With few parts, a single chain of dependent dot products would wait for itself: two halve the wait.
  static constexpr bool kTwoChains = kParts <= 2;
  Dot sums_[kParts], seconds_[kTwoChains ? kParts : 1];
};

#if defined(TINYCHAT_DOT_PAIR)
// The same for an even number of parts, two at a time.
template <int kParts>
class PairedSums {
 public:
  explicit PairedSums(const I* dots) {
    for (int p = 0; p < kParts; p += 2) pairs_[p / 2] = DotPair(dots[p], dots[p + 1]);
  }
  template <int kBits, int kLine>
  void add(Bytes low, Bytes high, const int8_t* a, size_t stride) {
    for (int p = 0; p < kParts; p += 2) pairs_[p / 2].add(low, high, a + p * stride, a + (p + 1) * stride);
  }
  void put_to(I* dots) const {
    for (int p = 0; p < kParts; p += 2) dots[p] = pairs_[p / 2].first(), dots[p + 1] = pairs_[p / 2].second();
  }

 private:
  DotPair pairs_[kParts / 2];
};
#endif

template <int kBits, bool kAsks, int kLine = 0, typename Accumulators>
__attribute__((always_inline)) inline void add_lines(const uint8_t* piece, const int8_t* a, size_t stride,
                                                     Accumulators& sums) {
  if constexpr (kLine < Piece<kBits>::kLines) {
    if (kAsks) ask_ahead<kBits, kLine>(piece);
    Bytes low, high;
    read_line<kBits, kLine>(piece, low, high);
    sums.template add<kBits, kLine>(low, high, a + 8 * kLine, stride);
    add_lines<kBits, kAsks, kLine + 1>(piece, a, stride, sums);
  }
}

// dots += a piece of weights. `kAsks`: whether memory is asked ahead of use, as fewer than eight tokens do: they wait for memory.
template <int kParts, int kBits, bool kAsks>
inline void dot_piece(const uint8_t* piece, const int8_t* a, size_t stride, I* dots) {
#if defined(TINYCHAT_DOT_PAIR)
  if constexpr (kParts % 2 == 0) {
    PairedSums<kParts> sums(dots);
    add_lines<kBits, kAsks>(piece, a, stride, sums);
    return sums.put_to(dots);
  }
#endif
  PartSums<kParts> sums(dots);
  add_lines<kBits, kAsks>(piece, a, stride, sums);
  sums.put_to(dots);
}

// The integer part of a group: dots[row] = weights * activations, which sum up to sums[row * groups].
template <int kTokens, int kBits, int kDigits>
class Products {
 public:
  void group(const uint8_t* block, int columns, const int8_t* a, size_t stride, const int32_t* sums, size_t groups,
             I* dots) {
    I parts[kTokens * kDigits];
    for (I& part : parts) part = broadcast(0);
    for (int column = 0; column < columns; column += Piece<kBits>::kColumns, block += Piece<kBits>::kBytes)
      dot_piece<kTokens * kDigits, kBits, (kTokens < 8)>(block, a + column, stride, parts);
    for (int r = 0; r < kTokens; ++r) {
      dots[r] = kDigits == 1 ? parts[r] : shift_left(parts[2 * r], 8) + parts[2 * r + 1];
      if (kBits == 8 && Dot::kSignedBias != 0) dots[r] = dots[r] + broadcast(-Dot::kSignedBias * sums[r * groups]);
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
  constexpr int kBits = bits_of(kFormat), kColumnBytes = 2 * kBits;
  const int group = activation_group<kFormat, kDigits>(w), groups = w.cols / group;
  const uint8_t* weights = w.weight + static_cast<size_t>(tile) * w.cols * kColumnBytes;
  const int8_t* a = x.quantized + static_cast<size_t>(first) * kDigits * x.cols;
  Products<kTokens, kBits, kDigits> products;
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
    const GroupScale of_group = group_scale<kFormat>(w, tile, index);
    for (int r = 0; r < kTokens; ++r) {
      const size_t row_at = at + static_cast<size_t>(r) * groups;
      const I dot = kCentered ? dots[r] + broadcast(-kCenter * x.sums[row_at]) : dots[r];
      total[r] = fma(to_float(dot) * broadcast(x.scales[row_at]), of_group.scale, total[r]);
    }
    if (kBits < 8 && !kCentered)
      for (int r = 0; r < kTokens; ++r)
        total[r] = fma(of_group.offset, broadcast(x.scaled_sums[at + static_cast<size_t>(r) * groups]), total[r]);
  }
  for (int r = 0; r < kTokens; ++r) put(w, tile, total[r], out, first + r);
}

} // namespace

#include "cpu/matmul_float.inl"

namespace {

// --- any number of tokens, any format ----------------------------------------------------------------------------------

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

// Which functions multiply a format.
enum class KernelsOf { kW4Zero, kW4Min, kW4K, kFiveBits, kW6K, kW8Group, kW8Channel, kF16, kBf16 };

inline int kernels_of(const Linear& w) {
  switch (w.format) {
    case WeightFormat::kW4Zero: return static_cast<int>(KernelsOf::kW4Zero);
    case WeightFormat::kW4Min: return static_cast<int>(KernelsOf::kW4Min);
    case WeightFormat::kW4K: return static_cast<int>(KernelsOf::kW4K);
    case WeightFormat::kW6K: return static_cast<int>(KernelsOf::kW6K);
    case WeightFormat::kW8Group: return static_cast<int>(KernelsOf::kW8Group);
    case WeightFormat::kW8Channel: return static_cast<int>(KernelsOf::kW8Channel);
    case WeightFormat::kF16: return static_cast<int>(KernelsOf::kF16);
    case WeightFormat::kBf16: return static_cast<int>(KernelsOf::kBf16);
    default: return static_cast<int>(KernelsOf::kFiveBits);
  }
}

void gemm_float(const Linear& w, int tile, const Activations& x, int num_tokens, const Output& out) {
  static const GemmFunction functions[][4] = {{TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW4Zero)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW4Min)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW4K)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW5K)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW6K)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW8Group)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kW8Channel)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kF16)},
                                              {TINYCHAT_BY_TOKENS(gemm_float_tokens, WeightFormat::kBf16)}};
  by_tokens(functions[kernels_of(w)], w, tile, x, num_tokens, out);
}

#define TINYCHAT_GEMM_INTEGERS(name, by_tokens_of)                                                \
  void name(const Linear& w, int tile, const Activations& x, int num_tokens, const Output& out) { \
    static const GemmFunction centered[] = {by_tokens_of(WeightFormat::kW4Zero, true)};           \
    static const GemmFunction functions[][4] = {                                                  \
        {by_tokens_of(WeightFormat::kW4Zero)},   {by_tokens_of(WeightFormat::kW4Min)},            \
        {by_tokens_of(WeightFormat::kW4K)},      {by_tokens_of(WeightFormat::kW5K)},              \
        {by_tokens_of(WeightFormat::kW6K)},      {by_tokens_of(WeightFormat::kW8Group)},          \
        {by_tokens_of(WeightFormat::kW8Channel)}};                                                \
    const bool is_centered = w.format == WeightFormat::kW4Zero && w.zeros == nullptr;             \
    by_tokens(is_centered ? centered : functions[kernels_of(w)], w, tile, x, num_tokens, out);    \
  }
TINYCHAT_GEMM_INTEGERS(gemm_int8, TINYCHAT_INT8_BY_TOKENS)
TINYCHAT_GEMM_INTEGERS(gemm_two_digits, TINYCHAT_DIGITS_BY_TOKENS)

#undef TINYCHAT_GEMM_INTEGERS
#undef TINYCHAT_DIGITS_BY_TOKENS
#undef TINYCHAT_INT8_BY_TOKENS
#undef TINYCHAT_BY_TOKENS

} // namespace
