// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the forward pass asks of a machine: fused steps, not primitive operations, so that a backend may keep everything
// inside a step in registers and the forward pass can still be written once.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>

#include "decoder/forward_batch.h"
#include "decoder/kv_cache.h"

namespace tinychat {

// A device that failed while it worked: what it was asked for is lost, and so are its caches.
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Which tokens of a batch a step must compute.
enum class Tokens { kAll, kOutputs };

// The decoder cuts a caller's batch into passes, and runs all steps of a pass before the next one. A pass is a
// ForwardBatch with these promises: it is valid; every position is a number; each causal sequence has at most
// max_sequence_tokens() tokens, a bidirectional span is never cut, and sequences with fewer tokens come first.
//
// Every step gets the batch that it works on. Token i is row i of every buffer of the backend, from embed() on; only
// compact_tokens() moves rows, and the steps after it get the smaller batch. A sequence's numbers do not depend on the
// other sequences of the batch.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<KvCache> new_cache() = 0;

  // Tokens of a pass; of a causal sequence in a pass; and of a span or a sequence that must not be cut, which may be more.
  virtual int max_tokens() const = 0;
  virtual int max_sequence_tokens() const { return max_tokens(); }
  virtual int max_uncut_tokens() const { return max_sequence_tokens(); }
  // The largest k that top_k() finds; for a larger one the decoder looks at the logits.
  virtual int max_top_k() const { return 0; }

  // Throws InvalidBatch for a pass that this backend does not serve. Called for all passes before any of them
  // runs.
  virtual void check_pass(const ForwardBatch&) const {}

  // Runs a pass: `steps` calls what is below, in order. A backend may record what the steps ask of a device, and repeat the
  // record for a later pass. Outputs are there when it returns.
  virtual void run(const ForwardBatch& /*pass*/, const std::function<void()>& steps) { steps(); }

  // residual = embedding rows (+ learned positions)
  virtual void embed(const ForwardBatch& batch) = 0;
  // qkv = W·norm(residual)
  virtual void norm_qkv(int layer, const ForwardBatch& batch) = 0;
  // Rotary positions; keys and values of all tokens into the caches, at first_slot() and behind it; softmax(q·K)·V of
  // `queries`, each in the row of its token.
  virtual void attention(int layer, const ForwardBatch& batch, Tokens queries) = 0;
  // Rows of `batch.outputs` become rows 0 …, of the residual and of what attention() found: the steps that follow get
  // outputs_of(batch).
  virtual void compact_tokens(const ForwardBatch& batch) = 0;
  // residual += W·attention
  virtual void attn_out_proj(int layer, const ForwardBatch& batch) = 0;
  // h = act(W_gate·norm(residual)) * (W_up·norm(residual))
  virtual void norm_gate_up(int layer, const ForwardBatch& batch) = 0;
  // residual += W·h
  virtual void mlp_down_proj(int layer, const ForwardBatch& batch) = 0;
  // logits = head·norm(residual) of all tokens, into batch.outputs[i].logits where that is not null
  virtual void norm_head(const ForwardBatch& batch) = 0;
  // Answers the TopKRequests, none of which asks for more than max_top_k(), from the logits of norm_head(). Called where
  // there is one.
  virtual void top_k(const ForwardBatch& /*batch*/) {}
};

} // namespace tinychat
