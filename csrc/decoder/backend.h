// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The interface of a backend: fused steps, not primitive operations. A backend can keep everything within a step in
// registers, and the forward pass is still written only once.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>

#include "decoder/forward_batch.h"
#include "decoder/kv_cache.h"

namespace tinychat {

// A device has failed. The results of its current work and all its caches are lost.
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Which tokens of a batch a step must compute.
enum class Tokens { kAll, kOutputs };

// The decoder cuts a caller's batch into passes, and runs all steps of a pass before the next pass. A pass is a
// ForwardBatch with these guarantees: it is valid; every position is a number; each causal sequence has at most
// max_sequence_tokens() tokens; a bidirectional span is never cut; sequences with fewer tokens precede longer ones.
//
// Every step gets the batch that it works on. From embed() on, token i is row i of every buffer of the backend. Only
// compact_tokens() moves rows; the steps after it get the smaller batch. The numbers of a sequence do not depend on the
// other sequences of the batch.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<KvCache> new_cache() = 0;

  // Maximum number of tokens: of a pass; of a causal sequence in a pass; of a span or a sequence that must not be cut
  // (this may be more than max_tokens()).
  virtual int max_tokens() const = 0;
  virtual int max_sequence_tokens() const { return max_tokens(); }
  virtual int max_uncut_tokens() const { return max_sequence_tokens(); }
  // The largest k that top_k() supports. For a larger k the decoder searches the logits itself.
  virtual int max_top_k() const { return 0; }

  // Throws InvalidBatch for a pass that this backend does not support. Called for all passes before any of them runs.
  virtual void check_pass(const ForwardBatch&) const {}

  // Runs a pass: `steps` calls the functions below, in order. A backend may record the device operations of the steps and
  // replay them for a later pass. The outputs are complete when it returns.
  virtual void run(const ForwardBatch& /*pass*/, const std::function<void()>& steps) { steps(); }

  // Calls job(0) … job(count - 1), which must not throw; a backend with several threads runs them at the same time. Not called
  // during a pass.
  virtual void run_jobs(int count, const std::function<void(int)>& job) {
    for (int i = 0; i < count; ++i) job(i);
  }

  // residual = embedding rows (+ learned positions)
  virtual void embed(const ForwardBatch& batch) = 0;
  // qkv = W·norm(residual)
  virtual void norm_qkv(int layer, const ForwardBatch& batch) = 0;
  // Applies rotary positions, writes the keys and values of all tokens to the caches from first_slot() on, and computes
  // softmax(q·K)·V for `queries`, each into the row of its token.
  virtual void attention(int layer, const ForwardBatch& batch, Tokens queries) = 0;
  // Moves the rows of `batch.outputs` to rows 0, 1, … of the residual and of the result of attention(). The following
  // steps get outputs_of(batch).
  virtual void compact_tokens(const ForwardBatch& batch) = 0;
  // residual += W·attention
  virtual void attn_out_proj(int layer, const ForwardBatch& batch) = 0;
  // h = act(W_gate·norm(residual)) * (W_up·norm(residual))
  virtual void norm_gate_up(int layer, const ForwardBatch& batch) = 0;
  // residual += W·h
  virtual void mlp_down_proj(int layer, const ForwardBatch& batch) = 0;
  // residual += part `layer` of the tokens' embedding rows. Called after the first deepstack_layers layers, only in a pass
  // with embedding rows.
  virtual void add_deepstack(int layer, const ForwardBatch& batch) = 0;
  // The residual of the tokens with outputs, written to batch.outputs[i].logits + (1 + index) * hidden_size. Called after
  // output_layers[index].
  virtual void layer_output(int index, const ForwardBatch& batch) = 0;
  // logits = head·norm(residual) of all tokens, written to batch.outputs[i].logits if that is not null. Called only if a
  // token needs logits or a TopKRequest is to be answered.
  virtual void norm_head(const ForwardBatch& batch) = 0;
  // Answers the TopKRequests from the logits of norm_head(); no k is larger than max_top_k(). Called only if there is a
  // request.
  virtual void top_k(const ForwardBatch& /*batch*/) {}
  // norm(residual) of all tokens, written to batch.outputs[i].hidden if that is not null. The last step of a pass, so it may
  // overwrite the residual. Called only if a token needs it.
  virtual void final_hidden(const ForwardBatch& batch) = 0;
};

} // namespace tinychat
