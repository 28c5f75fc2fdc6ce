// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The decoder's steps on the CPU. The work of a step is divided into equal parts, which free threads take: by tiles of 16
// weight rows, or by KV heads and ranges of the cache. Buffers are allocated once, and grow for a pass that cannot be cut.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "cpu/huge_pages.h"
#include "cpu/kernels.h"
#include "cpu/kv_cache.h"
#include "cpu/thread_pool.h"
#include "decoder/backend.h"
#include "decoder/model.h"

namespace tinychat {

// The type of the activations that quantized matrices are multiplied with: fp32, int8, or 16 bits as two int8 digits.
enum class ActivationType { kFloat, kInt8, kTwoDigits };

class CpuBackend : public Backend {
 public:
  CpuBackend(const Model& model, const Kernels& kernels, ActivationType input, CacheKind cache, int threads,
             bool equal_cores, int capacity);

  std::unique_ptr<KvCache> new_cache() override;
  int max_tokens() const override { return kMaxTokens; }
  int max_sequence_tokens() const override { return kMaxSequenceTokens; }
  int max_uncut_tokens() const override { return capacity_; }
  void run_jobs(int count, const std::function<void(int)>& job) override;
  void embed(const ForwardBatch& batch) override;
  void norm_qkv(int layer, const ForwardBatch& batch) override;
  void attention(int layer, const ForwardBatch& batch, Tokens queries) override;
  void compact_tokens(const ForwardBatch& batch) override;
  void attn_out_proj(int layer, const ForwardBatch& batch) override;
  void norm_gate_up(int layer, const ForwardBatch& batch) override;
  void mlp_down_proj(int layer, const ForwardBatch& batch) override;
  void add_deepstack(int layer, const ForwardBatch& batch) override;
  void layer_output(int index, const ForwardBatch& batch) override;
  void norm_head(const ForwardBatch& batch) override;
  void final_hidden(const ForwardBatch& batch) override;

 private:
  // Of one sequence in a pass: limits the size of the buffers and the delay of a cancel.
  static constexpr int kMaxSequenceTokens = 256;
  static constexpr int kDecodeTokens = 32; // of sequences that decode in the same pass as a prefill
  static constexpr int kMaxTokens = kMaxSequenceTokens + kDecodeTokens;
  static_assert(kMaxTokens <= kMostTokens);
  // The tokens of a sequence with so few are computed as if each were alone. A sequence with more is multiplied as bf16
  // panels if the CPU supports them (see has_panels), otherwise as digits.
  static constexpr int kFewTokens = 8;
  static constexpr int kPrefillQueries = 32; // that share each read of the cache
  static constexpr int kPartsPerThread = 4;  // of a step, where threads may differ in speed

  // The input of a matrix, as floats or integers. All tokens of a GEMM share one. For a single token each part has its
  // own, because computing a norm twice is cheaper than waiting for another thread.
  struct alignas(64) Bf16Line {
    uint16_t numbers[32];
  };
  using Rows = std::vector<float, HugePages<float>>;
  struct Input {
    std::vector<Bf16Line, HugePages<Bf16Line>> packed; // of many tokens
    std::vector<float> values, scales, scaled_sums;
    std::vector<float> ordered; // the values in the input order of the matrix
    std::vector<int32_t> sums;
    std::vector<int8_t> quantized;
  };
  struct AttentionScratch {
    std::vector<float> accumulators, maxima, sums, rotated;
    std::vector<const float*> queries;
    std::vector<int> slots, first_visible, last_visible;
    std::vector<float> slopes;
  };

  struct Tiles {
    int begin, end;
  };
  // The tokens of one GEMM. All are multiplied in the same way.
  struct GemmTokens {
    int begin, end;
    bool panels;

    int size() const { return end - begin; }
  };
  // Whether a step may use panels. The steps after the last attention, which compute only outputs, never do: the numbers of
  // an output then do not depend on how many outputs its sequence has, and few tokens are faster without panels. The
  // outputs of an encoder are all its tokens, so its steps may.
  enum class Panels { kWhereMany, kNever };

  // The place of a sequence's keys and values.
  struct Store {
    CpuKvCache* cache;
    CpuKvCache* rests; // what the cache's bf16 leaves of each number; null: that is lost, or nothing is rounded
    int first_slot;
    bool has_one_layer; // which all layers of the model use in turn

    int layer(int of_model) const { return has_one_layer ? 0 : of_model; }
  };
  // What one thread does at a time: queries of one KV head.
  struct AttentionItem {
    int sequence; // of the batch
    int kv_head;
    TokenRange range;  // decode: slots that are read
    int parts;         // decode: stretches that the cache is cut into
    TokenRange tokens; // whose queries are run, of the batch; prefill: or of its outputs
  };
  struct DecodePlan {
    std::vector<AttentionItem> items;
    std::vector<int> begins; // [parts + 1]: a part has the items from its begin to the next one's
  };

  void reserve(int tokens);
  void reserve_scratch(size_t count);
  void reserve_inputs(Input& buffer, size_t tokens) const;

  // For all tokens of a batch: prepare(token, buffer) returns the input row, in the buffer or elsewhere; part(Tiles,
  // activations, GemmTokens) computes a part of the `tiles`.
  template <typename Prepare, typename Part>
  void gemm(const Linear& w, const ForwardBatch& batch, Panels panels, int tiles, const Prepare& prepare,
            const Part& part);
  template <typename Prepare, typename Part>
  void gemm_of(const Linear& w, const GemmTokens& tokens, int tiles, const Prepare& prepare, const Part& part);
  // out = W·input for all tokens and all rows of W: of prepared input rows, or of input [tokens][cols].
  template <typename Prepare>
  void gemm_prepared(const Linear& w, const ForwardBatch& batch, Panels panels, const Prepare& prepare,
                     const Output& out);
  void gemm_all_tokens(const Linear& w, const ForwardBatch& batch, Panels panels, const float* input,
                       const Output& out);
  void norm_gate_up_in_blocks(int layer, const ForwardBatch& batch);
  void add_to_residual(const Linear& w, const ForwardBatch& batch, Panels panels, const float* input,
                       const NormVectors& post_norm, const NormVectors& sum_norm);
  void norm(const NormVectors& vectors, const float* x, float* out) const;
  const float* norm_row(const NormVectors& vectors, int token, float* out) const;
  int parts_of(int tokens) const; // that a step is divided into
  ActivationType activation_type(const Linear& w) const;
  bool has_panels(const Linear& w) const;
  int panel_tokens(const Linear& w) const;
  Panels panels_of(int layer) const;
  // Writes the products of the first tile to the start of `out`.
  void gemm_tiles(const Linear& w, Tiles tiles, const Activations& x, int tokens, const Output& out);

  void plan_attention(const ForwardBatch& batch);
  void plan_stores(const ForwardBatch& batch);
  DecodePlan decode_plan(int window, const ForwardBatch& batch) const;
  void rotate_head(int layer, int token, bool key, float* x) const;
  void store_token(int layer, const Store& store, int kv_head, const Sequence& sequence, int token);
  void store_and_rotate(int layer, const ForwardBatch& batch);
  void attention_decode(int layer, const ForwardBatch& batch);
  void decode_item(int layer, const ForwardBatch& batch, const AttentionItem& item, AttentionScratch& s);
  void join_parts(const std::vector<AttentionItem>& items);
  void attention_prefill(int layer, const ForwardBatch& batch, Tokens queries);
  void prefill_item(int layer, const ForwardBatch& batch, const AttentionItem& item, Tokens queries,
                    AttentionScratch& s);
  int prefill_tokens() const;
  int window_of(int layer) const;
  void add_queries(AttentionScratch& s, int index, int kv_head, const float* heads, int slot,
                   const TokenRange& visible) const;
  void run_span(int layer, const Store& store, int kv_head, int queries, int begin, int end, bool tiles,
                AttentionScratch& s) const;
  void finish(const AttentionScratch& s, int heads, float* out, int first = 0) const;

  const Model model_;
  const Kernels& kernels_;
  const ActivationType input_;
  const CacheKind cache_;
  ThreadPool pool_;
  const bool equal_cores_;
  const int capacity_; // tokens of a cache

  // [tokens][…]
  Rows residual_, qkv_, attention_, hidden_, step_;
  Rows up_; // used if up has another input order or format than the gate
  std::vector<float> cos_, sin_, local_cos_, local_sin_;
  Input shared_;
  std::vector<Input> own_;                // one per part
  std::vector<AttentionScratch> scratch_; // one per part, or per range of a cache
  // Of the pass, from embed() on.
  std::vector<Store> stores_;              // one per sequence
  std::map<int, DecodePlan> decode_plans_; // one per window of the layers
  // Of sequences that are not causal: a single layer, which each layer overwrites.
  std::vector<std::unique_ptr<CpuKvCache>> layer_caches_, layer_rests_;
};

} // namespace tinychat
