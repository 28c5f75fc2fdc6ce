// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The keys and values of one sequence, as far as the decoder knows them: their number, and their decoder.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace tinychat {

// Allocated once, for `capacity` tokens. A token's slot is its index in the cache.
class KvCache {
 public:
  explicit KvCache(int capacity) : capacity_(capacity) {}
  virtual ~KvCache() = default;
  virtual size_t bytes() const = 0;

  virtual int length() const { return length_.load(std::memory_order_relaxed); }
  int capacity() const { return capacity_; }
  void set_length(int length) { length_.store(length, std::memory_order_relaxed); }

  // The decoder that created the cache. A number, not a pointer, because an address can be reused.
  uint64_t decoder_id() const { return decoder_id_; }
  void set_decoder_id(uint64_t id) { decoder_id_ = id; }

  // Makes the first `length` tokens of another cache of the same decoder the content of this one. The caller holds both
  // mutexes, and `length` is not more than the other cache has.
  virtual void copy_prefix(KvCache& from, int length) = 0;

  // Held while tokens are appended or dropped.
  std::mutex& mutex() { return mutex_; }

 private:
  int capacity_;
  std::atomic<int> length_{0}; // read by threads that do not hold the mutex
  uint64_t decoder_id_ = 0;
  std::mutex mutex_;
};

} // namespace tinychat
