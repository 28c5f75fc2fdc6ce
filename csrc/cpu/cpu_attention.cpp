// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The attention step: positions, cache write, and who reads which part of the cache.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/cpu_backend.h"
#include "cpu/half.h"
#include "cpu/kv_cache.h"

namespace tinychat {
namespace {

constexpr int kStretch = 256; // a long cache is cut into stretches of at least so many positions

// Rotates (x[i], x[i + half]) by the angle i, as Hugging Face's models do.
void rotate(float* head, const float* cos, const float* sin, int half) {
  for (int i = 0; i < half; ++i) {
    const float a = head[i], b = head[i + half];
    head[i] = a * cos[i] - b * sin[i];
    head[i + half] = b * cos[i] + a * sin[i];
  }
}

// A key and a value of one position, as bf16: side by side lie two channels of a key, and the values of two positions.
// `last`: the next position is not written yet. It will be read with a weight of zero, so it must be a number.
void store_bf16(const float* key, const float* value, int dim, bool last, uint16_t* key_lane, uint16_t* values) {
  uint16_t rounded[2][kMostHeadDim];
  for (int d = 0; d < dim; ++d) {
    rounded[0][d] = float_to_bf16(key[d]);
    rounded[1][d] = float_to_bf16(value[d]);
  }
  for (int d = 0; d < dim; d += 2) std::memcpy(key_lane + 16 * d, &rounded[0][d], 4);
  for (int d = 0; d < dim; ++d) values[2 * d] = rounded[1][d];
  if (last)
    for (int d = 0; d < dim; ++d) values[2 * d + 1] = 0;
}

// Bytes of up to `count` numbers that share a scale, each `stride` bytes after the one before; returns the scale. The scale
// is rounded to fp16 first, so that the bytes know what they will be multiplied with.
uint16_t to_bytes(const float* x, int count, int stride, uint8_t* out) {
  float most = 0;
  for (int i = 0; i < count; ++i) most = std::max(most, std::fabs(x[i]));
  const uint16_t scale = float_to_half(most / 127);
  const float rounded = half_to_float(scale), inverse = rounded > 0 ? 1 / rounded : 0;
  for (int i = 0; i < count; ++i) {
    const float q = std::max(-127.0f, std::min(127.0f, std::nearbyintf(x[i] * inverse)));
    out[i * stride] = static_cast<uint8_t>(kByteZero + static_cast<int>(q));
  }
  return scale;
}

// A key and a value of one position, as bytes.
void store_bytes(CpuKvCache& store, int layer, int kv_head, int position, const float* key, const float* value,
                 int dim) {
  const int groups = (dim + kKeyGroup - 1) / kKeyGroup, tile = position / 16, lane = position % 16;
  uint8_t* keys = store.keys(layer, kv_head) + static_cast<size_t>(tile) * dim * 16 + lane;
  uint16_t* scales = store.key_scales(layer, kv_head) + static_cast<size_t>(tile) * groups * 16 + lane;
  for (int g = 0; g < groups; ++g) {
    const int first = g * kKeyGroup;
    scales[16 * g] = to_bytes(key + first, std::min(kKeyGroup, dim - first), 16, keys + 16 * first);
  }
  uint8_t* values = store.values(layer, kv_head) + static_cast<size_t>(position) * dim;
  store.value_scales(layer, kv_head)[position] = to_bytes(value, dim, 1, values);
}

} // namespace

// A query or key of a row, in place: its norm (Qwen 3), then its position.
void CpuBackend::rotate_head(int layer, int row, bool key, float* x) const {
  const ModelConfig& c = model_.config;
  const float* head_norm = key ? model_.layers[layer].k_norm : model_.layers[layer].q_norm;
  if (head_norm != nullptr) kernels_.norm(Norm::kRms, x, head_norm, nullptr, c.norm_eps, c.head_dim, x);
  const bool local = !c.windows.empty() && c.windows[layer] > 0 && !c.rope_local_inv_freq.empty();
  const size_t half = (local ? c.rope_local_inv_freq : c.rope_inv_freq).size();
  rotate(x, (local ? local_cos_ : cos_).data() + row * half, (local ? local_sin_ : sin_).data() + row * half,
         static_cast<int>(half));
}

// Rotates the key of a row that `kv_head` made, and puts it and its value into the cache.
void CpuBackend::store_position(int layer, KvCache& cache, int kv_head, int row) {
  const ModelConfig& c = model_.config;
  auto& store = static_cast<CpuKvCache&>(cache);
  const int dim = c.head_dim, position = position_ + row;
  float* key = &qkv_[static_cast<size_t>(row) * c.qkv_width() + static_cast<size_t>(c.heads + kv_head) * dim];
  const float* value = key + static_cast<size_t>(c.kv_heads) * dim;
  rotate_head(layer, row, true, key);
  const size_t tile_at = static_cast<size_t>(position / 16) * dim * 16;
  if (cache_ == CacheKind::kBytes) {
    store_bytes(store, layer, kv_head, position, key, value, dim);
  } else if (cache_ == CacheKind::kBf16) {
    auto* keys = reinterpret_cast<uint16_t*>(store.keys(layer, kv_head)) + tile_at;
    auto* values = reinterpret_cast<uint16_t*>(store.values(layer, kv_head)) +
                   static_cast<size_t>(position / 2) * 2 * dim;
    const bool last = position % 2 == 0 && row + 1 == rows_;
    store_bf16(key, value, dim, last, keys + 2 * (position % 16), values + position % 2);
  } else {
    float* keys = reinterpret_cast<float*>(store.keys(layer, kv_head)) + tile_at + position % 16;
    for (int d = 0; d < dim; ++d) keys[16 * d] = key[d];
    std::copy_n(value, dim,
                reinterpret_cast<float*>(store.values(layer, kv_head)) + static_cast<size_t>(position) * dim);
  }
}

// Queries of rows [row, row + rows) that read `kv_head`, `stride` numbers from a row to the next, over positions
// [begin, end): running softmax state into s.
void CpuBackend::run_span(int layer, KvCache& cache, int kv_head, const float* queries, size_t stride, int row,
                          int rows, int begin, int end, AttentionScratch& s) const {
  const ModelConfig& c = model_.config;
  auto& store = static_cast<CpuKvCache&>(cache);
  const int shared = c.heads / c.kv_heads;
  AttentionSpan span;
  span.keys = store.keys(layer, kv_head);
  span.values = store.values(layer, kv_head);
  if (cache_ == CacheKind::kBytes) {
    span.key_scales = store.key_scales(layer, kv_head);
    span.value_scales = store.value_scales(layer, kv_head);
  }
  span.head_dim = c.head_dim;
  span.begin = begin;
  span.end = end;
  span.scale = c.attention_scale > 0 ? c.attention_scale : 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  span.softcap = c.attention_softcap;
  span.window = c.windows.empty() ? 0 : c.windows[layer];
  span.rows = rows * shared;
  for (int r = 0; r < span.rows; ++r) {
    s.queries[r] = queries + r / shared * stride + static_cast<size_t>(r % shared) * c.head_dim;
    s.positions[r] = position_ + row + r / shared;
    if (!c.alibi_slopes.empty()) s.slopes[r] = c.alibi_slopes[kv_head * shared + r % shared];
  }
  span.queries = s.queries.data();
  span.positions = s.positions.data();
  span.slopes = c.alibi_slopes.empty() ? nullptr : s.slopes.data();
  span.accumulators = s.accumulators.data();
  span.maxima = s.maxima.data();
  span.sums = s.sums.data();
  span.tiles = input_ == InputKind::kSixteenBits;
  (cache_ == CacheKind::kBytes  ? kernels_.attend_bytes
   : cache_ == CacheKind::kBf16 ? kernels_.attend_bf16
                                : kernels_.attend_float)(span);
}

void CpuBackend::attend(int layer, KvCache& cache, int first) {
  if (rows_ == 1) attend_decode(layer, cache);
  else attend_prefill(layer, cache, first);
  const size_t hidden = model_.config.hidden_size;
  if (first > 0) std::copy(residual_.begin() + first * hidden, residual_.begin() + rows_ * hidden, residual_.begin());
  rows_ -= first;
}

// One token: a KV head a work item, from the rotation to the result; a long cache is cut so that every thread has the same
// to read, and joined afterwards.
void CpuBackend::attend_decode(int layer, KvCache& cache) {
  const ModelConfig& c = model_.config;
  const int window = c.windows.empty() ? 0 : c.windows[layer];
  const int first = window > 0 ? std::max(0, position_ + 1 - window) / 128 * 128 : 0;
  const int length = position_ + 1 - first;
  const int threads = pool_.threads(), shared = c.heads / c.kv_heads, dim = c.head_dim;
  const int pieces = c.kv_heads % threads == 0 ? 1 : std::max(1, std::min(threads, length / kStretch));
  const int piece = ((length + pieces - 1) / pieces + 127) / 128 * 128;
  const int items = c.kv_heads * pieces;
  const size_t key_bytes = (cache_ == CacheKind::kBytes ? 1 : cache_ == CacheKind::kBf16 ? 2 : 4) * dim;
  pool_.run([&](int thread) {
    // All heads' first keys come while the first head's queries are rotated; the kernel asks for the rest.
    for (int item = items * thread / threads; item < items * (thread + 1) / threads; ++item) {
      const int begin = std::min(first + item % pieces * piece, position_ + 1);
      const int end = std::min({begin + piece, position_ + 1, begin + 128});
      const uint8_t* keys = static_cast<CpuKvCache&>(cache).keys(layer, item / pieces);
      for (size_t byte = begin * key_bytes; byte < end * key_bytes; byte += 64) __builtin_prefetch(keys + byte, 0, 2);
    }
    for (int item = items * thread / threads; item < items * (thread + 1) / threads; ++item) {
      const int kv_head = item / pieces;
      AttentionScratch& s = scratch_[item];
      const int begin = std::min(first + item % pieces * piece, position_ + 1);
      const int end = std::min(begin + piece, position_ + 1);
      // Each piece rotates the queries for itself; the key belongs to the piece that reads it.
      std::copy_n(&qkv_[static_cast<size_t>(kv_head) * shared * dim], shared * dim, s.rotated.data());
      for (int r = 0; r < shared; ++r) rotate_head(layer, 0, false, &s.rotated[static_cast<size_t>(r) * dim]);
      if (begin <= position_ && position_ < end) store_position(layer, cache, kv_head, 0);
      run_span(layer, cache, kv_head, s.rotated.data(), 0, 0, 1, begin, end, s);
      if (pieces == 1) finish(s, shared, &attention_[static_cast<size_t>(kv_head) * shared * dim]);
    }
  });
  for (int head = 0; pieces > 1 && head < c.heads; ++head) {
    const int kv_head = head / shared, r = head % shared;
    const AttentionScratch* parts = &scratch_[static_cast<size_t>(kv_head) * pieces];
    float highest = parts[0].maxima[r], total = 0;
    for (int p = 1; p < pieces; ++p) highest = std::max(highest, parts[p].maxima[r]);
    float* out = &attention_[static_cast<size_t>(head) * dim];
    std::fill_n(out, dim, 0.0f);
    for (int p = 0; p < pieces; ++p) {
      const float weight = std::exp(parts[p].maxima[r] - highest);
      total += weight * parts[p].sums[r];
      for (int d = 0; d < dim; ++d) out[d] += weight * parts[p].accumulators[static_cast<size_t>(r) * dim + d];
    }
    for (int d = 0; d < dim; ++d) out[d] /= total;
  }
}

// What the heads of one token add up to, into out [heads][head_dim].
void CpuBackend::finish(const AttentionScratch& s, int heads, float* out, int first) const {
  const int dim = model_.config.head_dim;
  for (int r = 0; r < heads; ++r)
    for (int d = 0; d < dim; ++d)
      out[r * dim + d] = s.accumulators[static_cast<size_t>(first + r) * dim + d] / s.sums[first + r];
}

// Many tokens: first all positions; then a KV head and a few tokens a work item. Later tokens see more: items are dealt in
// turn.
void CpuBackend::attend_prefill(int layer, KvCache& cache, int first) {
  const ModelConfig& c = model_.config;
  const int window = c.windows.empty() ? 0 : c.windows[layer];
  const int threads = pool_.threads(), shared = c.heads / c.kv_heads, dim = c.head_dim;
  const int tokens = std::max(1, kPrefillQueries / shared);
  const int blocks = (rows_ - first + tokens - 1) / tokens;
  const size_t width = c.qkv_width();
  pool_.run([&](int thread) {
    const int heads = c.heads + c.kv_heads;
    const int begin = static_cast<int>(static_cast<int64_t>(rows_) * heads * thread / threads);
    const int end = static_cast<int>(static_cast<int64_t>(rows_) * heads * (thread + 1) / threads);
    for (int item = begin; item < end; ++item) {
      const int row = item / heads, head = item % heads;
      if (head >= c.heads) store_position(layer, cache, head - c.heads, row);
      else rotate_head(layer, row, false, &qkv_[row * width + static_cast<size_t>(head) * dim]);
    }
  });
  pool_.run([&](int thread) {
    AttentionScratch& s = scratch_[thread];
    for (int item = thread; item < c.kv_heads * blocks; item += threads) {
      const int kv_head = item / blocks, row = first + item % blocks * tokens, count = std::min(tokens, rows_ - row);
      const int begin = window > 0 ? std::max(0, position_ + row + 1 - window) / 128 * 128 : 0;
      const size_t first_head = static_cast<size_t>(kv_head) * shared * dim;
      run_span(layer, cache, kv_head, &qkv_[row * width + first_head], width, row, count, begin,
               position_ + row + count, s);
      for (int t = 0; t < count; ++t)
        finish(s, shared, &attention_[static_cast<size_t>(row - first + t) * c.attention_width() + first_head],
               t * shared);
    }
  });
}

} // namespace tinychat
