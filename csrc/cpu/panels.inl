// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Many tokens in bf16, for instruction sets with matrix registers (AMX): two tiles of weights become a panel of bf16 pairs
// once, and all tokens meet it. Each product is of bf16 and each sum of floats, over all columns: no scale stands between.
#pragma once

#if defined(TINYCHAT_TILES)

namespace {

using tinychat::kPanelColumns;

constexpr int kStepNumbers = 16 * kPanelColumns; // of 32 columns, of 16 tokens or 16 rows of weights

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

// 16 * kTokens tokens times kTiles tiles of weights, whose panel is made on the way where it is not there yet: a core
// dequantizes the next step while its matrix unit is busy with the last one.
template <int kTokens, int kTiles, typename MakeStep>
void gemm_block(const Linear& w, const int* tiles, const uint16_t* x, const uint16_t* panel, const MakeStep& make_step,
                int first, int num_tokens, const Output* out, PairTiles& unit) {
  const int steps = w.cols / kPanelColumns;
  const size_t token_stride = static_cast<size_t>(16) * w.cols;
  unit.clear<kTokens, kTiles>();
  for (int step = 0; step < steps; ++step) {
    make_step(step);
    const uint16_t* weights = panel + static_cast<size_t>(step) * kTiles * kStepNumbers;
    unit.add<kTokens, kTiles>(x + static_cast<size_t>(step) * kStepNumbers, token_stride, weights, kStepNumbers, 64);
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
    for (int t = 0; t < kTiles; ++t)
      panel_step<kFormat>(w, tiles[t], step, panel + (static_cast<size_t>(step) * kTiles + t) * kStepNumbers);
  };
  const auto there = [](int) {};
  const size_t token_tile = static_cast<size_t>(16) * w.cols;
  if (num_tokens <= 16) return gemm_block<1, kTiles>(w, tiles, x, panel, make_step, 0, num_tokens, out, unit);
  gemm_block<2, kTiles>(w, tiles, x, panel, make_step, 0, num_tokens, out, unit);
  for (int first = 32; first < num_tokens; first += 32) {
    const uint16_t* tokens = x + first / 16 * token_tile;
    if (num_tokens - first > 16) gemm_block<2, kTiles>(w, tiles, tokens, panel, there, first, num_tokens, out, unit);
    else gemm_block<1, kTiles>(w, tiles, tokens, panel, there, first, num_tokens, out, unit);
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
    default: TINYCHAT_PANELS_OF(WeightFormat::kW8Channel);
  }
#undef TINYCHAT_PANELS_OF
}

} // namespace
#endif
