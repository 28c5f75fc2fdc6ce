// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the forward pass asks of a machine: fused steps, not primitive operations, so that a backend may keep everything
// inside a step in registers and the forward pass can still be written once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace tinychat {

// Keys and values of one sequence, allocated once for `capacity` positions.
class KvCache {
 public:
  explicit KvCache(int capacity) : capacity_(capacity) {}
  virtual ~KvCache() = default;
  virtual size_t bytes() const = 0;

  virtual int length() const { return length_.load(std::memory_order_relaxed); }
  int capacity() const { return capacity_; }
  void set_length(int length) { length_.store(length, std::memory_order_relaxed); }

  // The decoder whose layers the memory is laid out for. A number, not a pointer: an address may be used again.
  uint64_t decoder_id() const { return decoder_id_; }
  void set_decoder_id(uint64_t id) { decoder_id_ = id; }

  // Held while positions are appended or dropped.
  std::mutex& mutex() { return mutex_; }

 private:
  int capacity_;
  std::atomic<int> length_{0}; // read by threads that do not hold the mutex
  uint64_t decoder_id_ = 0;
  std::mutex mutex_;
};

// A device that failed while it worked: what it was asked for is lost, and so are its caches.
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Candidate {
  float logit;
  int32_t token;
};

// What may be wanted of a row of logits instead of all of it: the likeliest tokens, with the repetition penalty and the mask
// in them.
struct Choice {
  int count; // at most Backend::most_candidates()
  float penalty;
  const uint32_t* seen;    // a bit a token that the penalty is for (bit i%32 of word i/32); or null
  const uint32_t* allowed; // the same of tokens that may come; or null: all may
  // The answer: likelier first, then the lower id; fewer where fewer are allowed. A NaN among the logits is the only one then.
  std::vector<Candidate> found = {};
};

// Tokens that go through all layers together; they stand at the cache's length and behind it.
struct Pass {
  const int32_t* tokens;
  int rows;
  KvCache& cache;
  int first;      // logits are wanted of the rows first …; `rows`: of none
  float* logits;  // [rows - first][vocab]; null where there is a choice
  Choice* choice; // wanted of the last row instead; or null
};

// The steps work on the residual stream of up to `max_rows` tokens that embed() has set; every other buffer is the
// backend's own.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<KvCache> new_cache() = 0;
  virtual int max_rows() const = 0;
  virtual int most_candidates() const { return 0; } // that choose() finds; 0: it is never asked

  // Runs a pass: `steps` calls what is below, in order. A backend may record what the steps ask of a device, and repeat the
  // record for a later token.
  virtual void run(const Pass&, const std::function<void()>& steps) { steps(); }

  // residual = embedding rows of `tokens` (+ learned positions); tokens stand at position, position + 1, …
  virtual void embed(const int32_t* tokens, int rows, int position) = 0;
  virtual void norm_qkv(int layer) = 0; // qkv = W·norm(residual)
  // Positions, cache write, softmax(q·K)·V of rows first …, which are rows 0 … for all steps from then on.
  virtual void attend(int layer, KvCache& cache, int first) = 0;
  virtual void output(int layer) = 0;  // residual += W·attention
  virtual void norm_up(int layer) = 0; // h = act(W_gate·norm(residual)) * (W_up·norm(residual))
  virtual void down(int layer) = 0;    // residual += W·h
  // logits [rows][vocab] = head·norm(residual); null: of the last row, for choose()
  virtual void norm_head(float* logits) = 0;
  virtual void choose(Choice&) {} // it has found what it says when run() ends
};

} // namespace tinychat
