// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Softmax attention over one KV head for all queries that share it, in one pass over the cache (Dao et al., 2022: the
// softmax runs along with a maximum and a sum). A lane is a position for the scores and a channel for the values, which is
// why keys lie in tiles of 16 positions: nothing is summed across lanes. Of bf16 a lane has a pair, two channels of a key, two
// positions' values, as the instructions want it that multiply pairs.
#pragma once

#include "cpu/elementwise.inl"
#include "cpu/pairs.inl"

namespace {

using tinychat::AttentionSpan;
using tinychat::kByteZero;
using tinychat::kKeyGroup;
using tinychat::kMostHeadDim;

constexpr int kChunk = 128;    // positions whose scores are kept at a time: keys and values of a chunk stay in L1/L2
constexpr int kMaxQueries = 6; // queries that share a look at the cache
constexpr int kMaxKeyGroups = kMostHeadDim / kKeyGroup;
const float kLowest = -1e30f; // instead of -inf, whose differences are NaN

const float kIota[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// What the cache holds: bf16, float where nothing may be rounded, or bytes with scales, in half the memory.
inline F load_cached(const float* p) { return load(p); }
inline F load_cached(const uint8_t* p) { return load_u8(p); }
template <typename Cached>
constexpr bool kBytes = sizeof(Cached) == 1;
template <typename Cached>
constexpr bool kBf16 = sizeof(Cached) == 2;

// Whether to ask memory ahead of use: a chunk's values while its keys are read, and the next chunk's keys while its values
// are. Few queries (decoding) wait for it; the many of a prefill find most of it near.
inline bool asks_ahead(const AttentionSpan& span) { return span.num_queries <= 2 * kMaxQueries; }

// Asks for the lines of kCount numbers that begin at p.
template <int kCount, typename Cached>
inline void ask_for(const Cached* p) {
  for (size_t byte = 0; byte < kCount * sizeof(Cached); byte += 64)
    __builtin_prefetch(reinterpret_cast<const char*>(p) + byte, 0, 2);
}

// scores[query][position] of the chunk's positions for kQueries queries, two tiles at a time.
template <int kQueries>
void score_bf16(const AttentionSpan& span, int query, int chunk, float (*scores)[kChunk]) {
  const int dim = span.head_dim;
  const bool ahead = asks_ahead(span);
  alignas(64) PairNumber room[kQueries][kMostHeadDim];
  const PairNumber* queries[kQueries];
  for (int r = 0; r < kQueries; ++r) queries[r] = as_pairs(span.queries[query + r], dim, room[r]);
  for (int p = 0; p < kChunk && chunk + p < span.end; p += 32) {
    const uint16_t* keys = static_cast<const uint16_t*>(span.keys) + static_cast<size_t>(chunk + p) * dim;
    const uint16_t* values = static_cast<const uint16_t*>(span.values) + static_cast<size_t>(chunk + p) * dim;
    F first[kQueries], second[kQueries];
    for (int r = 0; r < kQueries; ++r) first[r] = second[r] = broadcast(0.0f);
    for (int d = 0; d < dim; d += 2) {
      if (ahead) ask_for<64>(values + 32 * d);
      const Pairs k0 = load_pairs(keys + 16 * d), k1 = load_pairs(keys + 16 * (dim + d));
      for (int r = 0; r < kQueries; ++r) {
        first[r] = dot(k0, queries[r] + d, first[r]);
        second[r] = dot(k1, queries[r] + d, second[r]);
      }
    }
    const F factor = broadcast(span.scale);
    for (int r = 0; r < kQueries; ++r) {
      store(scores[r] + p, first[r] * factor);
      store(scores[r] + p + 16, second[r] * factor);
    }
  }
}

// The same over floats.
template <int kQueries>
void score_float(const AttentionSpan& span, int query, int chunk, float (*scores)[kChunk]) {
  const int dim = span.head_dim;
  const bool ahead = asks_ahead(span);
  const float* queries[kQueries];
  for (int r = 0; r < kQueries; ++r) queries[r] = span.queries[query + r];
  for (int p = 0; p < kChunk && chunk + p < span.end; p += 32) {
    const float* keys = static_cast<const float*>(span.keys) + static_cast<size_t>(chunk + p) * dim;
    const float* values = static_cast<const float*>(span.values) + static_cast<size_t>(chunk + p) * dim;
    F first[kQueries], second[kQueries];
    for (int r = 0; r < kQueries; ++r) first[r] = second[r] = broadcast(0.0f);
    for (int d = 0; d < dim; ++d) {
      if (ahead) ask_for<32>(values + 32 * d);
      const F k0 = load(keys + 16 * d), k1 = load(keys + 16 * (dim + d));
      for (int r = 0; r < kQueries; ++r) {
        const F q = broadcast(queries[r][d]);
        first[r] = fma(k0, q, first[r]);
        second[r] = fma(k1, q, second[r]);
      }
    }
    const F factor = broadcast(span.scale);
    for (int r = 0; r < kQueries; ++r) {
      store(scores[r] + p, first[r] * factor);
      store(scores[r] + p + 16, second[r] * factor);
    }
  }
}

// The same over bytes. Within a group of channels the scale waits for the sum, and so does the zero point: it meets the sum
// of the query's channels.
template <int kQueries>
void score_int8(const AttentionSpan& span, int query, int chunk, float (*scores)[kChunk]) {
  const int dim = span.head_dim, groups = (dim + kKeyGroup - 1) / kKeyGroup;
  const float* queries[kQueries];
  float starts[kQueries][kMaxKeyGroups];
  for (int r = 0; r < kQueries; ++r) {
    queries[r] = span.queries[query + r];
    for (int g = 0; g < groups; ++g) {
      F total = broadcast(0.0f);
      for (int d = kKeyGroup * g; d < dim && d < kKeyGroup * (g + 1); d += 16) total = total + load(queries[r] + d);
      starts[r][g] = -kByteZero * sum(total);
    }
  }
  const bool ahead = asks_ahead(span);
  for (int p = 0; p < kChunk && chunk + p < span.end; p += 32) {
    const uint8_t* keys = static_cast<const uint8_t*>(span.keys) + static_cast<size_t>(chunk + p) * dim;
    const uint8_t* values = static_cast<const uint8_t*>(span.values) + static_cast<size_t>(chunk + p) * dim;
    const uint16_t* scales = span.key_scales + static_cast<size_t>(chunk + p) * groups;
    F first[kQueries], second[kQueries];
    for (int r = 0; r < kQueries; ++r) first[r] = second[r] = broadcast(0.0f);
    for (int g = 0; g < groups; ++g) {
      F a[kQueries], b[kQueries];
      for (int r = 0; r < kQueries; ++r) a[r] = b[r] = broadcast(starts[r][g]);
      for (int d = kKeyGroup * g; d < dim && d < kKeyGroup * (g + 1); ++d) {
        if (ahead && d % 2 == 0) ask_for<64>(values + 32 * d);
        const F k0 = load_u8(keys + 16 * d), k1 = load_u8(keys + 16 * (dim + d));
        for (int r = 0; r < kQueries; ++r) {
          const F q = broadcast(queries[r][d]);
          a[r] = fma(k0, q, a[r]);
          b[r] = fma(k1, q, b[r]);
        }
      }
      const F s0 = load_half(scales + 16 * g), s1 = load_half(scales + 16 * (groups + g));
      for (int r = 0; r < kQueries; ++r) {
        first[r] = fma(a[r], s0, first[r]);
        second[r] = fma(b[r], s1, second[r]);
      }
    }
    const F factor = broadcast(span.scale);
    for (int r = 0; r < kQueries; ++r) {
      store(scores[r] + p, first[r] * factor);
      store(scores[r] + p + 16, second[r] * factor);
    }
  }
}

// Soft-cap and ALiBi.
inline void apply_cap_and_bias(const AttentionSpan& span, int query, int chunk, int count, float* scores) {
  if (span.softcap > 0)
    for (int p = 0; p < count; p += 16)
      store(scores + p, broadcast(span.softcap) * tanh(load(scores + p) / broadcast(span.softcap)));
  if (span.slopes != nullptr)
    for (int p = 0; p < count; p += 16) {
      const F distance = load(kIota) + broadcast(static_cast<float>(chunk + p - span.slots[query]));
      const F ahead = min(distance, broadcast(0.0f) - distance); // of later tokens as of earlier ones
      store(scores + p, fma(broadcast(span.slopes[query]), ahead, load(scores + p)));
    }
}

// The same, and what the query may see.
inline void apply_mask_and_bias(const AttentionSpan& span, int query, int chunk, int count, float* scores) {
  const int first = span.first_visible[query], last = span.last_visible[query];
  apply_cap_and_bias(span, query, chunk, count, scores);
  for (int p = 0; p < count && chunk + p < first; ++p) scores[p] = kLowest;
  for (int p = last + 1 > chunk ? last + 1 - chunk : 0; p < count; ++p) scores[p] = kLowest;
}

// Scores become exp(score - maximum); what was accumulated under an older maximum is scaled to the new one.
inline void online_softmax_update(const AttentionSpan& span, int query, int count, float* scores) {
  F most = broadcast(kLowest);
  for (int p = 0; p < count; p += 16) most = max(most, load(scores + p));
  const float before = span.maxima[query];
  const float highest_score = highest(most) > before ? highest(most) : before;
  if (highest_score <= kLowest) { // nothing visible yet
    for (int p = 0; p < count; p += 16) store(scores + p, broadcast(0.0f));
    return;
  }
  F total = broadcast(0.0f);
  for (int p = 0; p < count; p += 16) {
    const F e = exp(load(scores + p) - broadcast(highest_score));
    store(scores + p, e);
    total = total + e;
  }
  float correction[16];
  store(correction, exp(broadcast(before - highest_score)));
  span.sums[query] = span.sums[query] * correction[0] + sum(total);
  span.maxima[query] = highest_score;
  float* accumulator = span.accumulators + static_cast<size_t>(query) * span.head_dim;
  for (int d = 0; d < span.head_dim; d += 16) store(accumulator + d, load(accumulator + d) * broadcast(correction[0]));
}

// A byte's scale joins the weight of its position; returns what the bytes' zero point then adds to every channel.
inline float scale_weights(const uint16_t* scales, int padded, float* weights) {
  F total = broadcast(0.0f);
  for (int p = 0; p < padded; p += 16) {
    const F scaled = load(weights + p) * load_half(scales + p);
    store(weights + p, scaled);
    total = total + scaled;
  }
  return -kByteZero * sum(total);
}

// accumulators += exp(score) * value for 16*kLanes channels at `channel`. Of an odd count, the last score is zero.
template <int kQueries, int kLanes>
void accumulate_bf16(const AttentionSpan& span, int query, int chunk, int count, int channel,
                     const PairNumber* const* weights) {
  const int dim = span.head_dim;
  float* out = span.accumulators + static_cast<size_t>(query) * dim + channel;
  F total[kQueries][kLanes];
  for (int r = 0; r < kQueries; ++r)
    for (int i = 0; i < kLanes; ++i) total[r][i] = load(out + r * dim + 16 * i);
  const bool ahead = asks_ahead(span) && chunk + kChunk < span.end;
  const size_t at = static_cast<size_t>(chunk) * dim + 2 * channel;
  const uint16_t* values = static_cast<const uint16_t*>(span.values) + at;
  const uint16_t* keys = static_cast<const uint16_t*>(span.keys) + at + static_cast<size_t>(kChunk) * dim;
  for (int p = 0; p < count; p += 2, values += 2 * dim, keys += 2 * dim)
    for (int i = 0; i < kLanes; ++i) {
      if (ahead) ask_for<32>(keys + 32 * i);
      const Pairs value = load_pairs(values + 32 * i);
      for (int r = 0; r < kQueries; ++r) total[r][i] = dot(value, weights[r] + p, total[r][i]);
    }
  for (int r = 0; r < kQueries; ++r)
    for (int i = 0; i < kLanes; ++i) store(out + r * dim + 16 * i, total[r][i]);
}

// The same over floats, or bytes: then also `starts` of each query.
template <typename Cached, int kQueries, int kLanes>
void accumulate(const AttentionSpan& span, int query, int chunk, int count, int channel, const float* starts,
                const float (*scores)[kChunk]) {
  const int dim = span.head_dim;
  float* out = span.accumulators + static_cast<size_t>(query) * dim + channel;
  F total[kQueries][kLanes];
  for (int r = 0; r < kQueries; ++r)
    for (int i = 0; i < kLanes; ++i) {
      total[r][i] = load(out + r * dim + 16 * i);
      if constexpr (kBytes<Cached>) total[r][i] = total[r][i] + broadcast(starts[r]);
    }
  const bool ahead = asks_ahead(span) && chunk + kChunk < span.end;
  const Cached* values = static_cast<const Cached*>(span.values) + static_cast<size_t>(chunk) * dim + channel;
  const Cached* keys = static_cast<const Cached*>(span.keys) + static_cast<size_t>(chunk + kChunk) * dim + channel;
  for (int p = 0; p < count; ++p, values += dim, keys += dim)
    for (int i = 0; i < kLanes; ++i) {
      if (ahead && i % 2 == 0) ask_for<32>(keys + 16 * i);
      const F value = load_cached(values + 16 * i);
      for (int r = 0; r < kQueries; ++r) total[r][i] = fma(value, broadcast(scores[r][p]), total[r][i]);
    }
  for (int r = 0; r < kQueries; ++r)
    for (int i = 0; i < kLanes; ++i) store(out + r * dim + 16 * i, total[r][i]);
}

template <typename Cached, int kQueries>
void attention_chunk(const AttentionSpan& span, int query, int chunk) {
  alignas(64) float scores[kQueries][kChunk];
  const int count = span.end - chunk < kChunk ? span.end - chunk : kChunk;
  const int padded = (count + 15) / 16 * 16; // scores beyond `count` become zero; of bf16 the first may be multiplied
  if constexpr (kBytes<Cached>) score_int8<kQueries>(span, query, chunk, scores);
  else if constexpr (kBf16<Cached>) score_bf16<kQueries>(span, query, chunk, scores);
  else score_float<kQueries>(span, query, chunk, scores);
  float starts[kQueries] = {};
  for (int r = 0; r < kQueries; ++r) {
    apply_mask_and_bias(span, query + r, chunk, padded, scores[r]);
    online_softmax_update(span, query + r, padded, scores[r]);
    if constexpr (kBytes<Cached>) starts[r] = scale_weights(span.value_scales + chunk, padded, scores[r]);
  }
  alignas(64) PairNumber room[kQueries][kChunk];
  const PairNumber* weights[kQueries] = {};
  if constexpr (kBf16<Cached>)
    for (int r = 0; r < kQueries; ++r) weights[r] = as_pairs(scores[r], padded, room[r]);
  for (int channel = 0; channel < span.head_dim;) {
    const bool four = channel + 64 <= span.head_dim;
    if constexpr (kBf16<Cached>)
      (four ? accumulate_bf16<kQueries, 4> : accumulate_bf16<kQueries, 1>)(span, query, chunk, count, channel, weights);
    else
      (four ? accumulate<Cached, kQueries, 4> : accumulate<Cached, kQueries, 1>)(span, query, chunk, count, channel,
                                                                                 starts, scores);
    channel += four ? 64 : 16;
  }
}

} // namespace

#include "cpu/attention_tiles.inl"

namespace {

template <typename Cached>
void attention(const AttentionSpan& span) {
  for (int r = 0; r < span.num_queries; ++r) {
    span.maxima[r] = kLowest;
    span.sums[r] = 0;
  }
  for (size_t i = 0; i < static_cast<size_t>(span.num_queries) * span.head_dim; ++i) span.accumulators[i] = 0;
#if defined(TINYCHAT_TILES)
  if (kBf16<Cached> && attention_tiles(span)) return;
#endif
  for (int chunk = span.begin; chunk < span.end; chunk += kChunk) {
    int query = 0;
    for (; query + kMaxQueries <= span.num_queries; query += kMaxQueries)
      attention_chunk<Cached, kMaxQueries>(span, query, chunk);
    switch (span.num_queries - query) {
      case 5: attention_chunk<Cached, 5>(span, query, chunk); break;
      case 4: attention_chunk<Cached, 4>(span, query, chunk); break;
      case 3: attention_chunk<Cached, 3>(span, query, chunk); break;
      case 2: attention_chunk<Cached, 2>(span, query, chunk); break;
      case 1: attention_chunk<Cached, 1>(span, query, chunk); break;
    }
  }
}

} // namespace
