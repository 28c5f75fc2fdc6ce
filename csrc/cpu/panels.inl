// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Many tokens in bf16, for instruction sets with matrix registers (AMX): two tiles of weights become a panel of bf16 pairs
// once, and all tokens meet it. Each product is of bf16 and each sum of floats, over all columns: no scale stands between.
// 16-bit weights are multiplied more precisely: an activation is the sum of two bf16 numbers, and so is a weight of fp16.
#pragma once

#if defined(TINYCHAT_TILES)

namespace {

using tinychat::kPanelColumns;

constexpr int kStepNumbers = 16 * kPanelColumns; // of 32 columns, of 16 tokens or 16 rows of weights

// How many bf16 numbers add up to an activation, and to a weight.
constexpr int activation_parts(WeightFormat format) { return bits_of(format) == 16 ? 2 : 1; }
constexpr int weight_parts(WeightFormat format) { return format == WeightFormat::kF16 ? 2 : 1; }

// A group's columns of 16 rows of weights as bf16 pairs, from a line of a piece on.
template <int kBits, int kLine = 0>
inline void panel_lines(const uint8_t* piece, const GroupScale& of_group, uint16_t* to) {
  if constexpr (kLine < Piece<kBits>::kLines) {
    const I mask = broadcast(255);
    Bytes low, high;
    read_line<kBits, kLine>(piece, low, high);
    uint16_t* pairs = to + 128 * kLine;
    const I both[] = {as_words(low), as_words(high)};
    for (const I& words : both) {
      const auto column_of = [&](int shift) {
        return fma(to_float(shift_right(words, shift) & mask), of_group.scale, of_group.offset);
      };
      store_pairs(pairs, column_of(0), column_of(8));
      store_pairs(pairs + 32, column_of(16), column_of(24));
      pairs += 64;
    }
    panel_lines<kBits, kLine + 1>(piece, of_group, to);
  }
}

// panel_step() of 16-bit weights, with zeros behind the last column. fp16 has 11 bits, which two bf16 numbers hold exactly.
template <WeightFormat kFormat>
void panel_step_16(const Linear& w, int tile, int step, uint16_t* to, uint16_t* rests) {
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

// 32 columns of 16 rows of weights as bf16 pairs [16 pairs][16 rows][2].
template <WeightFormat kFormat>
void panel_step(const Linear& w, int tile, int step, uint16_t* to) {
  constexpr int kBits = bits_of(kFormat);
  const int column = step * kPanelColumns;
  const size_t index = static_cast<size_t>(tile) * (w.cols / w.group) + column / w.group;
  const uint8_t* line = w.weight + (static_cast<size_t>(tile) * w.cols + column) * 2 * kBits;
  const GroupScale of_group = group_scale<kFormat>(w, tile, index);
  const F scale = of_group.scale, offset = of_group.offset;
  if constexpr (kBits == 5) {
    panel_lines<kBits>(line, of_group, to);
  } else if constexpr (kBits == 6) { // two groups
    panel_lines<kBits>(line, of_group, to);
    panel_lines<kBits>(line + Piece<kBits>::kBytes, group_scale<kFormat>(w, tile, index + 1), to + kStepNumbers / 2);
  } else if constexpr (kBits == 4) {
    const I mask = broadcast(15);
    for (int i = 0; i < kPanelColumns; i += 8, line += 64, to += 128) {
      const I words = as_words(load_bytes(line));
      const auto column_of = [&](int shift) { return fma(to_float(shift_right(words, shift) & mask), scale, offset); };
      store_pairs(to, column_of(0), column_of(8));
      store_pairs(to + 32, column_of(16), column_of(24));
      store_pairs(to + 64, column_of(4), column_of(12));
      store_pairs(to + 96, column_of(20), column_of(28));
    }
  } else {
    const F flipped = broadcast(-128.0f) * scale; // of the bytes read as w + 128
    const I mask = broadcast(255), flip = broadcast(static_cast<int32_t>(0x80808080));
    for (int i = 0; i < kPanelColumns; i += 4, line += 64, to += 64) {
      const I words = as_words(load_bytes(line)) ^ flip;
      const auto column_of = [&](int shift) { return fma(to_float(shift_right(words, shift) & mask), scale, flipped); };
      store_pairs(to, column_of(0), column_of(8));
      store_pairs(to + 32, column_of(16), column_of(24));
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

// 16 * kTokens tokens times kTiles tiles of weights. The panel is made here if it does not exist yet: a core
// dequantizes the next step while its matrix unit is busy with the last one.
template <int kTokens, int kTiles, WeightFormat kFormat, typename MakeStep>
void gemm_block(const Linear& w, const int* tiles, const uint16_t* x, const uint16_t* panel, const MakeStep& make_step,
                int first, int num_tokens, const Output* out, PairTiles& unit) {
  constexpr int kParts = activation_parts(kFormat);
  const int steps = (w.cols + kPanelColumns - 1) / kPanelColumns;
  const size_t token_stride = static_cast<size_t>(steps) * kParts * kStepNumbers;
  unit.clear<kTokens, kTiles>();
  for (int step = 0; step < steps; ++step) {
    make_step(step);
    const uint16_t* weights = panel + static_cast<size_t>(step) * weight_parts(kFormat) * kTiles * kStepNumbers;
    const uint16_t* tokens = x + static_cast<size_t>(step) * kParts * kStepNumbers;
    unit.add<kTokens, kTiles>(tokens, token_stride, weights, kStepNumbers, 64);
    if (kParts == 2) unit.add<kTokens, kTiles>(tokens + kStepNumbers, token_stride, weights, kStepNumbers, 64);
    // The product of both second parts is below the second parts' own rounding.
    if (weight_parts(kFormat) == 2)
      unit.add<kTokens, kTiles>(tokens, token_stride, weights + kTiles * kStepNumbers, kStepNumbers, 64);
  }
  alignas(64) float sums[kTokens * 16][kTiles * 16];
  unit.store<kTokens, kTiles>(&sums[0][0], kTiles * 16);
  const int count = num_tokens - first < 16 * kTokens ? num_tokens - first : 16 * kTokens;
  for (int t = 0; t < kTiles; ++t)
    for (int r = 0; r < count; ++r) put(w, tiles[t], load(sums[r] + 16 * t), out[t], first + r);
}

template <int kTiles, WeightFormat kFormat>
void gemm_large_m_of(const Linear& w, const int* tiles, const uint16_t* x, int num_tokens, const Output* out,
                     uint16_t* panel) {
  PairTiles unit;
  const auto make_step = [&](int step) {
    for (int t = 0; t < kTiles; ++t) {
      uint16_t* to = panel + (static_cast<size_t>(step) * weight_parts(kFormat) * kTiles + t) * kStepNumbers;
      if constexpr (bits_of(kFormat) == 16)
        panel_step_16<kFormat>(w, tiles[t], step, to, to + static_cast<size_t>(kTiles) * kStepNumbers);
      else panel_step<kFormat>(w, tiles[t], step, to);
    }
  };
  const auto there = [](int) {};
  const int steps = (w.cols + kPanelColumns - 1) / kPanelColumns;
  const size_t token_tile = static_cast<size_t>(steps) * activation_parts(kFormat) * kStepNumbers;
  if (num_tokens <= 16) return gemm_block<1, kTiles, kFormat>(w, tiles, x, panel, make_step, 0, num_tokens, out, unit);
  gemm_block<2, kTiles, kFormat>(w, tiles, x, panel, make_step, 0, num_tokens, out, unit);
  for (int first = 32; first < num_tokens; first += 32) {
    const uint16_t* tokens = x + first / 16 * token_tile;
    (num_tokens - first > 16 ? gemm_block<2, kTiles, kFormat, decltype(there)>
                             : gemm_block<1, kTiles, kFormat, decltype(there)>)(w, tiles, tokens, panel, there, first,
                                                                                num_tokens, out, unit);
  }
}

void gemm_large_m(const Linear& w, const int* tiles, int count, const uint16_t* x, int num_tokens, const Output* out,
                  uint16_t* panel) {
#define TINYCHAT_PANELS_OF(format)                                                    \
  return count == 2 ? gemm_large_m_of<2, format>(w, tiles, x, num_tokens, out, panel) \
                    : gemm_large_m_of<1, format>(w, tiles, x, num_tokens, out, panel)
  switch (w.format) {
    case WeightFormat::kW4Zero: TINYCHAT_PANELS_OF(WeightFormat::kW4Zero);
    case WeightFormat::kW4Min: TINYCHAT_PANELS_OF(WeightFormat::kW4Min);
    case WeightFormat::kW4K: TINYCHAT_PANELS_OF(WeightFormat::kW4K);
    case WeightFormat::kW5Zero:
    case WeightFormat::kW5Min:
    case WeightFormat::kW5K: TINYCHAT_PANELS_OF(WeightFormat::kW5K); // they share kernels
    case WeightFormat::kW6K: TINYCHAT_PANELS_OF(WeightFormat::kW6K);
    case WeightFormat::kW8Group: TINYCHAT_PANELS_OF(WeightFormat::kW8Group);
    case WeightFormat::kF16: TINYCHAT_PANELS_OF(WeightFormat::kF16);
    case WeightFormat::kBf16: TINYCHAT_PANELS_OF(WeightFormat::kBf16);
    default: TINYCHAT_PANELS_OF(WeightFormat::kW8Channel);
  }
#undef TINYCHAT_PANELS_OF
}

} // namespace
#endif
