// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of many queries on a unit that multiplies tiles of bf16 (AMX): the same pass over the cache as attention.inl,
// but scores and values are products of tiles. What the cache holds are such tiles: 32 channels of 16 keys are one piece of
// a kilobyte, 32 positions of 16 channels are rows of pairs. Where the cache also holds what rounding left (`key_rests`), every
// factor is a sum of two bf16 numbers, and only the product of both second ones is left out.
//
// A query's weights refer to its first chunk's maximum, and to a later one only after they became large (see kMostSum): a float
// and bf16 are as precise there as below 1, and the exponentials, most of the work, wait for no maximum.
#pragma once

#if defined(TINYCHAT_TILES)
namespace {

constexpr int kTileQueries = 32; // two tiles of queries meet two tiles of the cache
constexpr int kTileNumbers = 16 * 32;
constexpr int kTileChunk = 64;    // positions at a time: their keys, values, scores and weights stay in L1
constexpr float kMasked = -1e38f; // the score of what a query does not see: weight 0 even where no maximum is known
constexpr float kMostSum = 1e18f; // of a query's weights: beyond, they refer to a new maximum
constexpr float kLog2E = 1.44269504f;

// What scores of a chunk are limited to: kLimits.numbers + kTileChunk - n leaves all but the first n positions,
// kLimits.numbers + 2 * kTileChunk - n the first n.
struct Limits {
  float numbers[3 * kTileChunk];
  constexpr Limits() : numbers() {
    for (int i = 0; i < 3 * kTileChunk; ++i) numbers[i] = i / kTileChunk == 1 ? __builtin_inff() : kMasked;
  }
};
constexpr Limits kLimits;

// 2^x: a polynomial of x - floor(x), of the least relative error: 8e-5, a fiftieth of what bf16 rounds away, or 3e-6, a sixth
// of what two bf16 numbers do.
template <int kParts>
inline F exp2_for_tiles(F x) {
  const F r = fraction(x);
  F p;
  if constexpr (kParts == 1) {
    p = fma(broadcast(7.8024523e-2f), r, broadcast(2.2606716e-1f));
    p = fma(p, r, broadcast(6.9583354e-1f));
    p = fma(p, r, broadcast(9.9992522e-1f));
  } else {
    p = fma(broadcast(1.3534168e-2f), r, broadcast(5.2011461e-2f));
    p = fma(p, r, broadcast(2.4144276e-1f));
    p = fma(p, r, broadcast(6.9300383e-1f));
    p = fma(p, r, broadcast(1.0000026f));
  }
  return scaled_by_power(p, x);
}

// Stores 32 numbers as bf16, and what is left of each `rest` numbers behind them. Returns `total` and what was stored.
template <int kParts>
inline F store_parts(uint16_t* to, size_t rest, F first, F second, F total) {
  constexpr uint16_t kOnes[2] = {0x3f80, 0x3f80};
  if constexpr (kParts == 1) {
    const Pairs rounded = rounded_to_bf16(first, second);
    store(to, rounded);
    return dot(rounded, kOnes, total);
  } else {
    const F high_first = rounded_to_bf16(first), high_second = rounded_to_bf16(second);
    store(to, rounded_to_bf16(high_first, high_second));
    store(to + rest, rounded_to_bf16(first - high_first, second - high_second));
    return total + (first + second);
  }
}

// Up to 32 queries of a span, in kQueryTiles tiles. kParts: of each factor, one or two bf16 numbers.
template <int kQueryTiles, int kParts>
class TileAttention {
 public:
  TileAttention(const AttentionSpan& span, int first, PairTiles& unit)
      : span_(span),
        unit_(unit),
        first_(first),
        dim_(span.head_dim),
        tiles_(span.head_dim / 32),
        num_queries_(span.num_queries - first < kRows ? span.num_queries - first : kRows),
        is_scaled_(span.softcap > 0 || span.slopes != nullptr) {
    const F zero = broadcast(0.0f);
    for (int r = 0; r < kRows; ++r) {
      const bool is_query = r < num_queries_;
      const float* query = is_query ? span.queries[first + r] : nullptr;
      for (int d = 0; d < dim_; d += 32) {
        uint16_t* to = queries_ + (r / 16 * tiles_ + d / 32) * kTileNumbers + r % 16 * 32;
        store_parts<kParts>(to, kQueryRests, is_query ? load(query + d) : zero, is_query ? load(query + d + 16) : zero,
                            zero);
      }
      maxima_[r] = is_query ? kLowest : 0;
      store(sums_[0][r], zero);
    }
    for (int i = 0; i < kRows * dim_; i += 16) store(accumulators_ + i, zero);
  }

  void run() {
    int begin = span_.end, end = span_.begin, all_begin = 0, all_end = span_.end; // what a query sees, and what all see
    for (int r = first_; r < first_ + num_queries_; ++r) {
      const int from = span_.first_visible[r], to = span_.last_visible[r] + 1;
      if (from < begin) begin = from;
      if (from > all_begin) all_begin = from;
      if (to > end) end = to;
      if (to < all_end) all_end = to;
    }
    if (begin < span_.begin) begin = span_.begin;
    if (end > span_.end) end = span_.end;
    // Chunks end at multiples of their size, wherever the span begins: a query's numbers do not depend on that.
    begin = begin / kTileChunk * kTileChunk;
    const auto steps_at = [&](int chunk) {
      return chunk + kTileChunk <= end ? kTileChunk / 32 : (end - chunk + 31) / 32;
    };
    if (begin < end) multiply_keys(begin, steps_at(begin));
    for (int chunk = begin, next; chunk < end; chunk = next) {
      next = chunk + kTileChunk;
      const int steps = steps_at(chunk);
      if (is_scaled_) cap_and_bias(chunk, steps);
      if (chunk < all_begin || chunk + 32 * steps > all_end) mask(chunk, steps);
      if (chunk == begin) renew_maxima(steps, [&](int r) { return maxima_[r] <= kLowest; });
      if (exponentials(steps) > kMostSum) {
        renew_maxima(steps, [&](int r) { return highest(load(sums_[1 - now_][r])) > kMostSum; });
        exponentials(steps);
      }
      now_ = 1 - now_;
      // In this order, because what has just been stored cannot be loaded into tiles at once.
      if (next < end) multiply_keys(next, steps_at(next));
      multiply_values(chunk, steps);
    }
    for (int r = 0; r < num_queries_; ++r) {
      const int query = first_ + r;
      span_.maxima[query] = maxima_[r];
      span_.sums[query] = sum(load(sums_[now_][r]));
      for (int d = 0; d < dim_; d += 16)
        store(span_.accumulators + static_cast<size_t>(query) * dim_ + d, load(accumulator(r, d)));
    }
  }

 private:
  static constexpr int kRows = 16 * kQueryTiles;
  static constexpr size_t kQueryRests = kRows * kMostHeadDim, kWeightRests = kRows * kTileChunk;

  // [dim/32][kRows][32]
  float* accumulator(int row, int channel) {
    return accumulators_ + kRows * (channel / 32 * 32) + 32 * row + channel % 32;
  }

  void multiply_keys(int chunk, int steps) {
    for (int p = 0; p < 32 * steps; p += 32) {
      const size_t at = static_cast<size_t>(chunk + p) * dim_;
      unit_.clear<kQueryTiles, 2>();
      const auto add = [&](const uint16_t* left, const void* keys) {
        for (int tile = 0; tile < tiles_; ++tile)
          unit_.add<kQueryTiles, 2>(left + tile * kTileNumbers, tiles_ * kTileNumbers,
                                    static_cast<const uint16_t*>(keys) + at + tile * kTileNumbers, 16 * dim_, 64);
      };
      add(queries_, span_.keys);
      if (kParts == 2) add(queries_ + kQueryRests, span_.keys), add(queries_, span_.key_rests);
      unit_.store<kQueryTiles, 2>(scores_[0] + p, kTileChunk);
    }
  }

  void multiply_values(int chunk, int steps) {
    const uint16_t* values[kParts][kTileChunk / 32];
    for (int part = 0; part < kParts; ++part)
      for (int step = 0; step < steps; ++step) {
        const int p = chunk + 32 * step;
        const uint16_t* from = static_cast<const uint16_t*>(part == 0 ? span_.values : span_.value_rests) +
                               static_cast<size_t>(p) * dim_;
        values[part][step] = from;
        if (p + 32 <= span_.end) continue;
        // What an earlier conversation left behind the end may be NaN, which a weight of zero does not take away.
        const size_t there = static_cast<size_t>(span_.end - p + 1) / 2 * 2 * dim_;
        __builtin_memcpy(last_[part], from, sizeof(uint16_t) * there);
        __builtin_memset(last_[part] + there, 0, sizeof(uint16_t) * (static_cast<size_t>(32) * dim_ - there));
        values[part][step] = last_[part];
      }
    for (int channel = 0; channel < dim_; channel += 32) {
      float* sums = accumulator(0, channel);
      unit_.load<kQueryTiles, 2>(sums, 32);
      const auto add = [&](const uint16_t* left, int part) {
        for (int step = 0; step < steps; ++step)
          unit_.add<kQueryTiles, 2>(left + step * kTileNumbers, kTileChunk / 32 * kTileNumbers,
                                    values[part][step] + 2 * channel, 32, 4 * dim_);
      };
      add(weights_, 0);
      if (kParts == 2) add(weights_ + kWeightRests, 0), add(weights_, kParts - 1);
      unit_.store<kQueryTiles, 2>(sums, 32);
    }
  }

  void cap_and_bias(int chunk, int steps) {
    for (int r = 0; r < num_queries_; ++r) {
      for (int p = 0; p < 32 * steps; p += 16) store(scores_[r] + p, load(scores_[r] + p) * broadcast(span_.scale));
      apply_cap_and_bias(span_, first_ + r, chunk, 32 * steps, scores_[r]);
    }
  }

  void mask(int chunk, int steps) {
    const auto within = [](int n) { return n < 0 ? 0 : n < kTileChunk ? n : kTileChunk; };
    for (int r = 0; r < num_queries_; ++r) {
      const int begin = within(span_.first_visible[first_ + r] - chunk);
      const int end = within(span_.last_visible[first_ + r] + 1 - chunk);
      const float *from = kLimits.numbers + kTileChunk - begin, *to = kLimits.numbers + 2 * kTileChunk - end;
      for (int p = 0; p < 32 * steps; p += 16)
        store(scores_[r] + p, min(min(load(scores_[r] + p), load(from + p)), load(to + p)));
    }
  }

  // The maxima that the weights of some rows refer to become those of all scores so far.
  template <typename Which>
  void renew_maxima(int steps, const Which& which) {
    const float scale = is_scaled_ ? 1.0f : span_.scale;
    for (int r = 0; r < num_queries_; ++r) {
      if (!which(r)) continue;
      F most = broadcast(kMasked);
      for (int p = 0; p < 32 * steps; p += 16) most = max(most, load(scores_[r] + p));
      const float before = maxima_[r], found = highest(most) * scale;
      if (found <= before) continue;
      maxima_[r] = found;
      if (before <= kLowest) continue;
      const F factor = exp(broadcast(before - found));
      store(sums_[now_][r], load(sums_[now_][r]) * factor);
      for (int d = 0; d < dim_; d += 16) store(accumulator(r, d), load(accumulator(r, d)) * factor);
    }
  }

  // The weights of a chunk, and the sums with them; returns the largest sum.
  float exponentials(int steps) { return steps == 2 ? exponentials_of<2>() : exponentials_of<1>(); }

  template <int kSteps>
  float exponentials_of() {
    static_assert(kTileChunk == 64);
    const F factor = broadcast((is_scaled_ ? 1.0f : span_.scale) * kLog2E);
    const float (*before)[16] = sums_[now_];
    float (*after)[16] = sums_[1 - now_];
    F most = broadcast(0.0f);
    for (int r = 0; r < kRows; ++r) {
      const F offset = broadcast(-maxima_[r] * kLog2E);
      F total = load(before[r]);
      for (int step = 0; step < kSteps; ++step) {
        const F a = exp2_for_tiles<kParts>(fma(load(scores_[r] + 32 * step), factor, offset));
        const F b = exp2_for_tiles<kParts>(fma(load(scores_[r] + 32 * step + 16), factor, offset));
        uint16_t* to = weights_ + (r / 16 * (kTileChunk / 32) + step) * kTileNumbers + r % 16 * 32;
        total = store_parts<kParts>(to, kWeightRests, a, b, total);
      }
      store(after[r], total);
      most = max(most, total);
    }
    return highest(most);
  }

  const AttentionSpan& span_;
  PairTiles& unit_;
  const int first_, dim_, tiles_, num_queries_;
  const bool is_scaled_;
  int now_ = 0; // sums_[now_] are of the chunks so far
  float maxima_[kRows];
  alignas(64) float sums_[2][kRows][16];
  alignas(64) float scores_[kRows][kTileChunk];
  alignas(64) uint16_t queries_[kParts * kQueryRests];
  alignas(64) uint16_t weights_[kParts * kWeightRests];
  alignas(64) float accumulators_[kRows * kMostHeadDim];
  alignas(64) uint16_t last_[kParts][32 * kMostHeadDim];
};

// Whether the tiles were taken; the softmax state is set up.
bool attention_tiles(const AttentionSpan& span) {
  if (!span.tiles || span.head_dim % 32 != 0) return false;
  PairTiles unit;
  int query = 0;
  const bool two = span.key_rests != nullptr;
  for (; span.num_queries - query > 16; query += kTileQueries) {
    if (two) TileAttention<2, 2>(span, query, unit).run();
    else TileAttention<2, 1>(span, query, unit).run();
  }
  if (query < span.num_queries) {
    if (two) TileAttention<1, 2>(span, query, unit).run();
    else TileAttention<1, 1>(span, query, unit).run();
  }
  return true;
}

} // namespace
#endif
