// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the forward pass asks of a machine: fused steps, not primitive operations, so that a backend may keep everything
// inside a step in registers and the forward pass can still be written once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace tinychat {

// Keys and values of one conversation, allocated once for `capacity` positions.
class KvCache {
 public:
  explicit KvCache(int capacity) : capacity_(capacity) {}
  virtual ~KvCache() = default;
  virtual size_t bytes() const = 0;

  int length() const { return length_; }
  int capacity() const { return capacity_; }
  void set_length(int length) { length_ = length; }

 private:
  int capacity_;
  int length_ = 0;
};

// The steps work on the residual stream of up to `max_rows` tokens that embed() has set; every other buffer is the
// backend's own.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<KvCache> new_cache() = 0;
  virtual int max_rows() const = 0;

  // residual = embedding rows of `tokens` (+ learned positions); tokens stand at position, position + 1, …
  virtual void embed(const int32_t* tokens, int rows, int position) = 0;
  virtual void norm_qkv(int layer) = 0;               // qkv = W·norm(residual)
  virtual void attend(int layer, KvCache& cache) = 0; // positions, cache write, softmax(q·K)·V
  virtual void output(int layer) = 0;                 // residual += W·attention
  virtual void norm_up(int layer) = 0;                // h = act(W_gate·norm(residual)) * (W_up·norm(residual))
  virtual void down(int layer) = 0;                   // residual += W·h
  // logits [rows - first][vocab] = head·norm(residual of rows first …)
  virtual void norm_head(int first, float* logits) = 0;
};

} // namespace tinychat
