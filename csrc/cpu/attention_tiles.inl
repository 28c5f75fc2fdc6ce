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

// Queries query … of the span, up to kTileQueries; kQueryTiles tiles of them.
template <int kQueryTiles>
void attention_tile_queries(const AttentionSpan& span, int query, PairTiles& unit) {
  const int dim = span.head_dim, steps = dim / 32;
  const int num_queries = span.num_queries - query < 16 * kQueryTiles ? span.num_queries - query : 16 * kQueryTiles;
  alignas(64) uint16_t queries[kQueryTiles * 16 * kMostHeadDim];
  alignas(64) uint16_t weights[kQueryTiles * 16 * kChunk];
  alignas(64) uint16_t last[16 * 2 * kMostHeadDim];
  alignas(64) float scores[kQueryTiles * 16][kChunk];
  alignas(64) float sums[kQueryTiles * 16][32];
  for (int r = 0; r < 16 * kQueryTiles; ++r)
    for (int d = 0; d < dim; d += 16) {
      uint16_t* to = queries + (r / 16 * steps + d / 32) * kTileNumbers + r % 16 * 32 + d % 32;
      store_bf16(to, r < num_queries ? load(span.queries[query + r] + d) : broadcast(0.0f));
    }
  for (int chunk = span.begin; chunk < span.end; chunk += kChunk) {
    const int count = span.end - chunk < kChunk ? span.end - chunk : kChunk;
    const int padded = (count + 31) / 32 * 32;
    const uint16_t* keys = static_cast<const uint16_t*>(span.keys) + static_cast<size_t>(chunk) * dim;
    for (int p = 0; p < padded; p += 32, keys += 32 * dim) {
      unit.clear<kQueryTiles, 2>();
      for (int step = 0; step < steps; ++step)
        unit.add<kQueryTiles, 2>(queries + step * kTileNumbers, steps * kTileNumbers, keys + step * kTileNumbers,
                                 16 * dim, 64);
      unit.store<kQueryTiles, 2>(scores[0] + p, kChunk);
    }
    for (int r = 0; r < num_queries; ++r) {
      for (int p = 0; p < padded; p += 16) store(scores[r] + p, load(scores[r] + p) * broadcast(span.scale));
      apply_mask_and_bias(span, query + r, chunk, padded, scores[r]);
      online_softmax_update(span, query + r, padded, scores[r]);
      for (int p = 0; p < padded; p += 16)
        store_bf16(weights + (r / 16 * (kChunk / 32) + p / 32) * kTileNumbers + r % 16 * 32 + p % 32,
                   load(scores[r] + p));
    }
    const uint16_t* values = static_cast<const uint16_t*>(span.values) + static_cast<size_t>(chunk) * dim;
    const int whole = count / 32;
    if (whole * 32 < count) copy_last_values(values + static_cast<size_t>(whole) * 32 * dim, dim, count % 32, last);
    for (int channel = 0; channel < dim; channel += 32) {
      unit.clear<kQueryTiles, 2>();
      for (int step = 0; step < padded / 32; ++step) {
        const uint16_t* from = step < whole ? values + static_cast<size_t>(step) * 32 * dim : last;
        unit.add<kQueryTiles, 2>(weights + step * kTileNumbers, kChunk / 32 * kTileNumbers, from + 2 * channel, 32,
                                 4 * dim);
      }
      unit.store<kQueryTiles, 2>(sums[0], 32);
      for (int r = 0; r < num_queries; ++r) {
        float* to = span.accumulators + static_cast<size_t>(query + r) * dim + channel;
        store(to, load(to) + load(sums[r]));
        store(to + 16, load(to + 16) + load(sums[r] + 16));
      }
    }
  }
}

// Whether the tiles were taken; the softmax state is set up.
bool attention_tiles(const AttentionSpan& span) {
  if (!span.tiles || span.head_dim % 32 != 0) return false;
  PairTiles unit;
  int query = 0;
  for (; span.num_queries - query > 16; query += kTileQueries) attention_tile_queries<2>(span, query, unit);
  if (query < span.num_queries) attention_tile_queries<1>(span, query, unit);
  return true;
}

} // namespace
#endif
