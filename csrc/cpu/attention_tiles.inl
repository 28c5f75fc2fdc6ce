// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of many queries on a unit that multiplies tiles of bf16 (AMX): the same pass over the cache as attention.inl,
// but scores and values are products of tiles. What the cache holds are such tiles: 32 channels of 16 keys are one piece of
// a kilobyte, 32 positions of 16 channels are rows of pairs.
#pragma once

#if defined(TINYCHAT_TILES)
namespace {

constexpr int kTileQueries = 32; // two tiles of queries meet two tiles of the cache
constexpr int kTileNumbers = 16 * 32;

// The values of the last positions, up to 32, with zeros behind them: what an earlier conversation left there may be NaN,
// which a weight of zero does not take away.
void copy_last_values(const uint16_t* values, int dim, int count, uint16_t* to) {
  const int width = 2 * dim;
  for (int pair = 0; pair < 16; ++pair, values += width, to += width) {
    const int there = count - 2 * pair;
    for (int i = 0; i < width; ++i) to[i] = there > i % 2 ? values[i] : 0;
  }
}

// Queries row … of the span, up to kTileQueries; kLeft tiles of them.
template <int kLeft>
void attend_tile_rows(const AttentionSpan& span, int row, PairTiles& unit) {
  const int dim = span.head_dim, steps = dim / 32;
  const int rows = span.rows - row < 16 * kLeft ? span.rows - row : 16 * kLeft;
  alignas(64) uint16_t queries[kLeft * 16 * kMostHeadDim];
  alignas(64) uint16_t weights[kLeft * 16 * kChunk];
  alignas(64) uint16_t last[16 * 2 * kMostHeadDim];
  alignas(64) float scores[kLeft * 16][kChunk];
  alignas(64) float sums[kLeft * 16][32];
  for (int r = 0; r < 16 * kLeft; ++r)
    for (int d = 0; d < dim; d += 16) {
      uint16_t* to = queries + (r / 16 * steps + d / 32) * kTileNumbers + r % 16 * 32 + d % 32;
      store_bf16(to, r < rows ? load(span.queries[row + r] + d) : broadcast(0.0f));
    }
  for (int chunk = span.begin; chunk < span.end; chunk += kChunk) {
    const int count = span.end - chunk < kChunk ? span.end - chunk : kChunk;
    const int padded = (count + 31) / 32 * 32;
    const uint16_t* keys = static_cast<const uint16_t*>(span.keys) + static_cast<size_t>(chunk) * dim;
    for (int p = 0; p < padded; p += 32, keys += 32 * dim) {
      unit.clear<kLeft, 2>();
      for (int step = 0; step < steps; ++step)
        unit.add<kLeft, 2>(queries + step * kTileNumbers, steps * kTileNumbers, keys + step * kTileNumbers, 16 * dim,
                           64);
      unit.store<kLeft, 2>(scores[0] + p, kChunk);
    }
    for (int r = 0; r < rows; ++r) {
      for (int p = 0; p < padded; p += 16) store(scores[r] + p, load(scores[r] + p) * broadcast(span.scale));
      adjust(span, row + r, chunk, padded, scores[r]);
      soften(span, row + r, padded, scores[r]);
      for (int p = 0; p < padded; p += 16)
        store_bf16(weights + (r / 16 * (kChunk / 32) + p / 32) * kTileNumbers + r % 16 * 32 + p % 32,
                   load(scores[r] + p));
    }
    const uint16_t* values = static_cast<const uint16_t*>(span.values) + static_cast<size_t>(chunk) * dim;
    const int whole = count / 32;
    if (whole * 32 < count) copy_last_values(values + static_cast<size_t>(whole) * 32 * dim, dim, count % 32, last);
    for (int channel = 0; channel < dim; channel += 32) {
      unit.clear<kLeft, 2>();
      for (int step = 0; step < padded / 32; ++step) {
        const uint16_t* from = step < whole ? values + static_cast<size_t>(step) * 32 * dim : last;
        unit.add<kLeft, 2>(weights + step * kTileNumbers, kChunk / 32 * kTileNumbers, from + 2 * channel, 32, 4 * dim);
      }
      unit.store<kLeft, 2>(sums[0], 32);
      for (int r = 0; r < rows; ++r) {
        float* to = span.accumulators + static_cast<size_t>(row + r) * dim + channel;
        store(to, load(to) + load(sums[r]));
        store(to + 16, load(to + 16) + load(sums[r] + 16));
      }
    }
  }
}

// Whether the tiles were taken; the softmax state is set up.
bool attend_tiles(const AttentionSpan& span) {
  if (!span.tiles || span.head_dim % 32 != 0) return false;
  PairTiles unit;
  int row = 0;
  for (; span.rows - row > 16; row += kTileQueries) attend_tile_rows<2>(span, row, unit);
  if (row < span.rows) attend_tile_rows<1>(span, row, unit);
  return true;
}

} // namespace
#endif
