// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Queries and keys get their positions, and keys and values go into the cache.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/cpu_backend.h"
#include "cpu/half.h"
#include "cpu/kv_cache.h"

namespace tinychat {
namespace {

// Rotates (x[i], x[i + half]) by the angle i, as Hugging Face's models do.
void rotate(float* head, const float* cos, const float* sin, int half) {
  for (int i = 0; i < half; ++i) {
    const float a = head[i], b = head[i + half];
    head[i] = a * cos[i] - b * sin[i];
    head[i + half] = b * cos[i] + a * sin[i];
  }
}

// A key and a value of one position, as bf16.
struct Rounded {
  uint16_t key[kMostHeadDim], value[kMostHeadDim];
};

// Stores them where the cache has them: side by side lie two channels of a key, and the values of two positions.
// `last`: the next position is not written yet. It will be read with a weight of zero, so it must be a number.
void store_bf16(const Rounded& numbers, int dim, bool last, uint16_t* key_lane, uint16_t* values) {
  for (int d = 0; d < dim; d += 2) std::memcpy(key_lane + 16 * d, &numbers.key[d], 4);
  for (int d = 0; d < dim; ++d) values[2 * d] = numbers.value[d];
  if (last)
    for (int d = 0; d < dim; ++d) values[2 * d + 1] = 0;
}

// Bytes of up to `count` numbers that share a scale, each `stride` bytes after the one before; returns the scale. The scale
// is rounded to fp16 first, so that the bytes know what they will be multiplied with.
uint16_t to_int8(const float* x, int count, int stride, uint8_t* out) {
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
void store_int8(CpuKvCache& store, int layer, int kv_head, int slot, const float* key, const float* value, int dim) {
  const int groups = (dim + kKeyGroup - 1) / kKeyGroup, tile = slot / 16, lane = slot % 16;
  uint8_t* keys = store.keys(layer, kv_head) + static_cast<size_t>(tile) * dim * 16 + lane;
  uint16_t* scales = store.key_scales(layer, kv_head) + static_cast<size_t>(tile) * groups * 16 + lane;
  for (int g = 0; g < groups; ++g) {
    const int first = g * kKeyGroup;
    scales[16 * g] = to_int8(key + first, std::min(kKeyGroup, dim - first), 16, keys + 16 * first);
  }
  uint8_t* values = store.values(layer, kv_head) + static_cast<size_t>(slot) * dim;
  store.value_scales(layer, kv_head)[slot] = to_int8(value, dim, 1, values);
}

// Writes n numbers as sums of two bf16 numbers.
void split_bf16(const Kernels& kernels, const float* x, int n, uint16_t* first, uint16_t* second) {
  uint16_t packed[kMostHeadDim / kPanelColumns][2][16][kPanelColumns];
  kernels.pack_two_bf16(x, n, 0, packed[0][0][0]);
  for (int i = 0; i < n; i += kPanelColumns) {
    const auto& step = packed[i / kPanelColumns];
    std::memcpy(first + i, step[0][0], sizeof step[0][0]);
    std::memcpy(second + i, step[1][0], sizeof step[1][0]);
  }
}

} // namespace

// A query or key of a token, in place: its norm (Qwen 3), then its position.
void CpuBackend::rotate_head(int layer, int token, bool key, float* x) const {
  const ModelConfig& c = model_.config;
  const float* head_norm = key ? model_.layers[layer].k_norm : model_.layers[layer].q_norm;
  if (head_norm != nullptr) kernels_.norm(Norm::kRms, x, head_norm, nullptr, c.norm_eps, c.head_dim, x);
  const bool local = window_of(layer) > 0 && !c.rope_local_inv_freq.empty();
  const size_t half = (local ? c.rope_local_inv_freq : c.rope_inv_freq).size();
  rotate(x, (local ? local_cos_ : cos_).data() + token * half, (local ? local_sin_ : sin_).data() + token * half,
         static_cast<int>(half));
}

// Rotates the key of a token that `kv_head` made, and puts it and its value where the sequence has them.
void CpuBackend::store_token(int layer, const Store& store, int kv_head, const Sequence& sequence, int token) {
  const ModelConfig& c = model_.config;
  const int dim = c.head_dim, slot = store.first_slot + token - sequence.tokens.begin, cached = store.layer(layer);
  CpuKvCache& cache = *store.cache;
  float* key = &qkv_[static_cast<size_t>(token) * c.qkv_width() + static_cast<size_t>(c.heads + kv_head) * dim];
  const float* value = key + static_cast<size_t>(c.kv_heads) * dim;
  rotate_head(layer, token, true, key);
  const size_t tile_at = static_cast<size_t>(slot / 16) * dim * 16;
  if (cache.kind() == CacheKind::kInt8) {
    store_int8(cache, cached, kv_head, slot, key, value, dim);
  } else if (cache.kind() == CacheKind::kBf16) {
    const bool last = slot % 2 == 0 && token + 1 == sequence.tokens.end;
    const auto store_in = [&](CpuKvCache& to, const Rounded& numbers) {
      auto* keys = reinterpret_cast<uint16_t*>(to.keys(cached, kv_head)) + tile_at;
      auto* values = reinterpret_cast<uint16_t*>(to.values(cached, kv_head)) + static_cast<size_t>(slot / 2) * 2 * dim;
      store_bf16(numbers, dim, last, keys + 2 * (slot % 16), values + slot % 2);
    };
    Rounded numbers, rests;
    if (store.rests != nullptr) {
      split_bf16(kernels_, key, dim, numbers.key, rests.key);
      split_bf16(kernels_, value, dim, numbers.value, rests.value);
      store_in(*store.rests, rests);
    } else {
      for (int d = 0; d < dim; ++d) {
        numbers.key[d] = float_to_bf16(key[d]);
        numbers.value[d] = float_to_bf16(value[d]);
      }
    }
    store_in(cache, numbers);
  } else {
    float* keys = reinterpret_cast<float*>(cache.keys(cached, kv_head)) + tile_at + slot % 16;
    for (int d = 0; d < dim; ++d) keys[16 * d] = key[d];
    std::copy_n(value, dim, reinterpret_cast<float*>(cache.values(cached, kv_head)) + static_cast<size_t>(slot) * dim);
  }
}

} // namespace tinychat
