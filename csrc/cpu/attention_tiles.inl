// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of many queries on a unit that multiplies tiles of bf16 (AMX): the same pass over the cache as attention.inl,
// but scores and values are products of tiles. What the cache holds are such tiles: 32 channels of 16 keys are one piece of
// a kilobyte, 32 positions of 16 channels are rows of pairs. Where the cache also holds what rounding left (`key_rests`), every
// factor is a sum of two bf16 numbers, and only the product of both second ones is left out.
#pragma once

#if defined(TINYCHAT_TILES)
namespace {

constexpr int kTileQueries = 32; // two tiles of queries meet two tiles of the cache
constexpr int kTileNumbers = 16 * 32;
constexpr int kTileChunk =
    256; // positions whose scores are kept at a time: what is done once a chunk and query is felt

// The values of the last positions, up to 32, with zeros behind them: what an earlier conversation left there may be NaN,
// which a weight of zero does not take away.
void copy_last_values(const uint16_t* values, int dim, int count, uint16_t* to) {
  const int width = 2 * dim;
  for (int pair = 0; pair < 16; ++pair, values += width, to += width) {
    const int there = count - 2 * pair;
    for (int i = 0; i < width; ++i) to[i] = there > i % 2 ? values[i] : 0;
  }
}

// 2^x for x <= 0, relative error below 5e-6, a thousandth of what bf16 rounds away (a third of what two bf16 do), and none at
// 0: x = n + r, the Taylor series
// of 2^r on [-1/2, 1/2], and n added to its exponent. Adding kRounder leaves n in the lowest bits of a float.
inline F exp2_for_tiles(F x) {
  const F kRounder = broadcast(12582912.0f); // 1.5 * 2^23
  x = max(x, broadcast(-126.0f));
  const F rounded = x + kRounder;
  const F r = x - (rounded - kRounder);
  F p = fma(broadcast(1.3333558e-3f), r, broadcast(9.6181291e-3f));
  p = fma(p, r, broadcast(5.5504109e-2f));
  p = fma(p, r, broadcast(2.4022651e-1f));
  p = fma(p, r, broadcast(6.9314718e-1f));
  p = fma(p, r, broadcast(1.0f));
  return as_float(as_int(p) + shift_left(as_int(rounded), 23));
}

// Queries `first` … of the span: what their softmax state becomes with one chunk more.
struct TileSoftmax {
  int first, num_queries;
  alignas(64) float maxima[kTileQueries];
  alignas(64) float sums[kTileQueries] = {};   // of the chunk
  alignas(64) float corrections[kTileQueries]; // what sums and accumulators so far are multiplied with
  int counts[kTileQueries]; // scores that are looked at, a multiple of 16; none where nothing is visible
};

// online_softmax_update() for many queries. A step is done for all of them before the next one, so that no query waits for the
// latency of another's maximum or exponential. A score beyond the last visible position costs nothing. The weights are
// stored by put(query, position, 16 weights); the accumulators are left to the caller.
template <typename Put>
void softmax_to_tiles(const AttentionSpan& span, int chunk, int padded, float (*scores)[kTileChunk], TileSoftmax& s,
                      const Put& put_weights) {
  constexpr float kLog2E = 1.44269504f;
  const bool is_scaled = span.softcap > 0 || span.slopes != nullptr; // before the softmax
  const float scale = is_scaled ? 1.0f : span.scale;
  for (int r = 0; r < s.num_queries; ++r) {
    const int last = span.last_visible[s.first + r] + 1 - chunk;
    int count = last <= 0 ? 0 : last < padded ? (last + 15) / 16 * 16 : padded;
    if (is_scaled)
      for (int p = 0; p < count; p += 16) store(scores[r] + p, load(scores[r] + p) * broadcast(span.scale));
    apply_mask_and_bias(span, s.first + r, chunk, count, scores[r]);
    F most = broadcast(kLowest);
    for (int p = 0; p < count; p += 16) most = max(most, load(scores[r] + p));
    const float before = span.maxima[s.first + r], in_chunk = highest(most);
    if (in_chunk <= kLowest) count = 0;
    s.counts[r] = count;
    s.maxima[r] = count > 0 && in_chunk * scale > before ? in_chunk * scale : before;
    s.corrections[r] = before - s.maxima[r];
  }
  for (int r = 0; r < s.num_queries; r += 16) store(s.corrections + r, exp(load(s.corrections + r)));
  for (int r = 0; r < s.num_queries; ++r) {
    const F factor = broadcast(scale * kLog2E), offset = broadcast(-s.maxima[r] * kLog2E);
    F total = broadcast(0.0f);
    int p = 0;
    for (; p < s.counts[r]; p += 16) {
      const F e = exp2_for_tiles(fma(load(scores[r] + p), factor, offset));
      put_weights(r, p, e);
      total = total + e;
    }
    for (; p < padded; p += 16) put_weights(r, p, broadcast(0.0f));
    s.sums[r] = sum(total);
  }
  for (int r = 0; r < s.num_queries; ++r) {
    span.sums[s.first + r] = span.sums[s.first + r] * s.corrections[r] + s.sums[r];
    span.maxima[s.first + r] = s.maxima[r];
  }
}

// Stores 16 numbers as bf16, and what is left of each `rest` numbers behind them.
template <int kParts>
inline void store_parts(uint16_t* to, size_t rest, F x) {
  if constexpr (kParts == 1) {
    store_bf16(to, x);
  } else {
    const F high = rounded_to_bf16(x);
    store_bf16(to, high);
    store_bf16(to + rest, x - high);
  }
}

// Queries query … of the span, up to kTileQueries; kQueryTiles tiles of them. kParts: of each factor, one or two bf16 numbers.
template <int kQueryTiles, int kParts>
void attention_tile_queries(const AttentionSpan& span, int query, PairTiles& unit) {
  constexpr size_t kQueryRests = kQueryTiles * 16 * kMostHeadDim, kWeightRests = kQueryTiles * 16 * kTileChunk;
  const int dim = span.head_dim, steps = dim / 32;
  const int num_queries = span.num_queries - query < 16 * kQueryTiles ? span.num_queries - query : 16 * kQueryTiles;
  alignas(64) uint16_t queries[kParts * kQueryRests];
  alignas(64) uint16_t weights[kParts * kWeightRests];
  alignas(64) uint16_t last[kParts][16 * 2 * kMostHeadDim];
  alignas(64) float scores[kQueryTiles * 16][kTileChunk];
  alignas(64) float sums[kQueryTiles * 16][32];
  TileSoftmax softmax;
  softmax.first = query;
  softmax.num_queries = num_queries;
  for (int r = 0; r < 16 * kQueryTiles; ++r)
    for (int d = 0; d < dim; d += 16) {
      uint16_t* to = queries + (r / 16 * steps + d / 32) * kTileNumbers + r % 16 * 32 + d % 32;
      store_parts<kParts>(to, kQueryRests, r < num_queries ? load(span.queries[query + r] + d) : broadcast(0.0f));
    }
  // Chunks end at multiples of their size, wherever the span begins: a query's numbers do not depend on that.
  for (int chunk = span.begin, count; chunk < span.end; chunk += count) {
    count = kTileChunk - chunk % kTileChunk;
    if (span.end - chunk < count) count = span.end - chunk;
    const int padded = (count + 31) / 32 * 32;
    for (int p = 0; p < padded; p += 32) {
      const size_t at = static_cast<size_t>(chunk + p) * dim;
      unit.clear<kQueryTiles, 2>();
      const auto add = [&](const uint16_t* left, const void* keys) {
        for (int step = 0; step < steps; ++step)
          unit.add<kQueryTiles, 2>(left + step * kTileNumbers, steps * kTileNumbers,
                                   static_cast<const uint16_t*>(keys) + at + step * kTileNumbers, 16 * dim, 64);
      };
      add(queries, span.keys);
      if (kParts == 2) add(queries + kQueryRests, span.keys), add(queries, span.key_rests);
      unit.store<kQueryTiles, 2>(scores[0] + p, kTileChunk);
    }
    softmax_to_tiles(span, chunk, padded, scores, softmax, [&](int r, int p, F e) {
      uint16_t* to = weights + (r / 16 * (kTileChunk / 32) + p / 32) * kTileNumbers + r % 16 * 32 + p % 32;
      store_parts<kParts>(to, kWeightRests, e);
    });
    const uint16_t* values[kParts];
    const int whole = count / 32;
    for (int part = 0; part < kParts; ++part) {
      values[part] = static_cast<const uint16_t*>(part == 0 ? span.values : span.value_rests) +
                     static_cast<size_t>(chunk) * dim;
      if (whole * 32 < count)
        copy_last_values(values[part] + static_cast<size_t>(whole) * 32 * dim, dim, count % 32, last[part]);
    }
    for (int channel = 0; channel < dim; channel += 32) {
      unit.clear<kQueryTiles, 2>();
      const auto add = [&](const uint16_t* left, int part) {
        for (int step = 0; step < padded / 32; ++step) {
          const uint16_t* from = step < whole ? values[part] + static_cast<size_t>(step) * 32 * dim : last[part];
          unit.add<kQueryTiles, 2>(left + step * kTileNumbers, kTileChunk / 32 * kTileNumbers, from + 2 * channel, 32,
                                   4 * dim);
        }
      };
      add(weights, 0);
      if (kParts == 2) add(weights + kWeightRests, 0), add(weights, kParts - 1);
      unit.store<kQueryTiles, 2>(sums[0], 32);
      for (int r = 0; r < num_queries; ++r) {
        float* to = span.accumulators + static_cast<size_t>(query + r) * dim + channel;
        const F correction = broadcast(softmax.corrections[r]);
        store(to, fma(load(to), correction, load(sums[r])));
        store(to + 16, fma(load(to + 16), correction, load(sums[r] + 16)));
      }
    }
  }
}

// Whether the tiles were taken; the softmax state is set up.
bool attention_tiles(const AttentionSpan& span) {
  if (!span.tiles || span.head_dim % 32 != 0) return false;
  PairTiles unit;
  int query = 0;
  const bool two = span.key_rests != nullptr;
  for (; span.num_queries - query > 16; query += kTileQueries)
    (two ? attention_tile_queries<2, 2> : attention_tile_queries<2, 1>)(span, query, unit);
  if (query < span.num_queries) (two ? attention_tile_queries<1, 2> : attention_tile_queries<1, 1>)(span, query, unit);
  return true;
}

} // namespace
#endif
