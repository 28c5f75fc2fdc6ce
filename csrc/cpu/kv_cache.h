// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

#include "cpu/kernels.h"
#include "decoder/backend.h"

namespace tinychat {

enum class CacheKind { kInt8, kBf16, kFloat };

// Keys and values. Keys are stored in tiles of 16 positions, [layer][kv_head][capacity/16][head_dim][16], values as
// [layer][kv_head][capacity][head_dim]. In bf16, two numbers that are multiplied together are adjacent:
// [capacity/16][head_dim/2][16][2] and [capacity/2][head_dim][2] (see attention.inl). Bytes are followed by fp16 scales: for
// each position, one per kKeyGroup channels of the key and one for the value. All memory is reserved at once and reads as
// zero; the system provides a page when it is first written.
class CpuKvCache : public KvCache {
 public:
  CpuKvCache(int layers, int kv_heads, int head_dim, int capacity, CacheKind kind)
      : KvCache(capacity),
        kind_(kind),
        kv_heads_(kv_heads),
        heads_(layers * kv_heads),
        row_(static_cast<size_t>(head_dim) * (kind == CacheKind::kInt8   ? 1
                                              : kind == CacheKind::kBf16 ? 2
                                                                         : 4)),
        groups_((head_dim + kKeyGroup - 1) / kKeyGroup) {
    const size_t positions = (capacity + 127) / 128 * 128;
    const bool bytes = kind == CacheKind::kInt8;
    numbers_ = positions * row_;
    key_stride_ = numbers_ + (bytes ? 2 * positions * groups_ : 0);
    value_stride_ = numbers_ + (bytes ? 2 * positions : 0);
    half_ = key_stride_ * kv_heads * layers;
    size_ = half_ + value_stride_ * kv_heads * layers;
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<uint8_t*>(memory);
  }
  ~CpuKvCache() override { munmap(memory_, size_); }
  CpuKvCache(const CpuKvCache&) = delete;
  CpuKvCache& operator=(const CpuKvCache&) = delete;

  CacheKind kind() const { return kind_; }
  size_t bytes() const override { return size_; }
  void copy_keys_and_values(KvCache& from, int length) override {
    const auto& other = static_cast<const CpuKvCache&>(from);
    const size_t tiles = static_cast<size_t>(length + 15) / 16 * 16; // positions, in whole tiles of keys
    for (size_t head = 0; head < heads_; ++head) {
      const size_t keys = head * key_stride_, values = half_ + head * value_stride_;
      const auto copy = [&](size_t at, size_t size) { std::memcpy(memory_ + at, other.memory_ + at, size); };
      copy(keys, tiles * row_);
      copy(values, tiles * row_);
      if (kind_ != CacheKind::kInt8) continue;
      copy(keys + numbers_, tiles * groups_ * sizeof(uint16_t));
      copy(values + numbers_, tiles * sizeof(uint16_t));
    }
  }
  uint8_t* keys(int layer, int kv_head) { return memory_ + at(layer, kv_head) * key_stride_; }
  uint8_t* values(int layer, int kv_head) { return memory_ + half_ + at(layer, kv_head) * value_stride_; }
  uint16_t* key_scales(int layer, int kv_head) { return reinterpret_cast<uint16_t*>(keys(layer, kv_head) + numbers_); }
  uint16_t* value_scales(int layer, int kv_head) {
    return reinterpret_cast<uint16_t*>(values(layer, kv_head) + numbers_);
  }

 private:
  size_t at(int layer, int kv_head) const { return static_cast<size_t>(layer) * kv_heads_ + kv_head; }

  CacheKind kind_;
  int kv_heads_;
  size_t heads_;                                             // of all layers
  size_t row_;                                               // bytes of a position's key or value, without scales
  size_t groups_;                                            // of a key, with a scale each
  size_t numbers_, key_stride_, value_stride_, half_, size_; // in bytes
  uint8_t* memory_;
};

} // namespace tinychat
