// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "decoder/backend.h"

namespace tinychat {

// Keys and values, each number of `width` bytes: 2 for fp16, 4 for float. Keys lie in tiles of 16 positions,
// [layer][kv_head][capacity/16][head_dim][16], values as [layer][kv_head][capacity][head_dim]: see attention.inl. The memory
// is reserved at once and zero; the system provides a page when it is first written.
class CpuKvCache : public KvCache {
 public:
  CpuKvCache(int layers, int kv_heads, int head_dim, int capacity, int width)
      : KvCache(capacity),
        head_stride_(static_cast<size_t>((capacity + 127) / 128 * 128) * head_dim * width),
        layer_stride_(head_stride_ * kv_heads),
        half_(layer_stride_ * layers) {
    void* memory = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<uint8_t*>(memory);
  }
  ~CpuKvCache() override { munmap(memory_, bytes()); }
  CpuKvCache(const CpuKvCache&) = delete;
  CpuKvCache& operator=(const CpuKvCache&) = delete;

  size_t bytes() const override { return 2 * half_; }
  void* keys(int layer, int kv_head) { return memory_ + layer * layer_stride_ + kv_head * head_stride_; }
  void* values(int layer, int kv_head) { return static_cast<uint8_t*>(keys(layer, kv_head)) + half_; }

 private:
  size_t head_stride_, layer_stride_, half_; // in bytes
  uint8_t* memory_;
};

} // namespace tinychat
