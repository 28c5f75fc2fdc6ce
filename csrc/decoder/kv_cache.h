// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The keys and values of one sequence, as far as the decoder knows them: their number, and their decoder.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace tinychat {

// The position of a token for rotary and learned position embeddings. For text, the same number three times; for M-RoPE
// (Qwen2-VL, Wang et al., 2024), time, height and width.
using Position = std::array<int32_t, 3>;

// The position after a token, where `next` is the one after all tokens before it.
inline int position_after(int next, const Position& p) { return std::max({next, p[0] + 1, p[1] + 1, p[2] + 1}); }

// Allocated once, for `capacity` tokens. A token's slot is its index in the cache.
class KvCache {
 public:
  explicit KvCache(int capacity) : capacity_(capacity) {}
  virtual ~KvCache() = default;
  virtual size_t bytes() const = 0;

  virtual int length() const { return length_.load(std::memory_order_relaxed); }
  int capacity() const { return capacity_; }
  void set_length(int length) { length_.store(length, std::memory_order_relaxed); }

  // The position after the largest one of the first `tokens` tokens. For text it is `tokens`; the rows of an image take
  // fewer positions than slots (M-RoPE).
  int next_position(int tokens) const { return tokens == 0 ? 0 : next_positions_[tokens - 1]; }

  // Records tokens that were appended, and increases the length.
  void append(const Position* positions, int count) {
    const int before = length();
    int next = next_position(before);
    next_positions_.resize(before);
    for (int i = 0; i < count; ++i) {
      next = position_after(next, positions[i]);
      next_positions_.push_back(next);
    }
    set_length(before + count);
  }

  // Makes the first `length` tokens of another cache of the same decoder the content of this one. The caller holds both
  // mutexes, and `length` is not more than the other cache has.
  void copy_prefix(KvCache& from, int length) {
    copy_keys_and_values(from, length);
    next_positions_.assign(from.next_positions_.begin(), from.next_positions_.begin() + length);
    set_length(length);
  }

  // The decoder that created the cache. A number, not a pointer, because an address can be reused.
  uint64_t decoder_id() const { return decoder_id_; }
  void set_decoder_id(uint64_t id) { decoder_id_ = id; }

  // Held while tokens are appended or dropped.
  std::mutex& mutex() { return mutex_; }

 private:
  virtual void copy_keys_and_values(KvCache& from, int length) = 0;

  int capacity_;
  std::vector<int32_t> next_positions_; // for each token, the position after the largest one up to it
  std::atomic<int> length_{0};          // read by threads that do not hold the mutex
  uint64_t decoder_id_ = 0;
  std::mutex mutex_;
};

} // namespace tinychat
