// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The decoder's steps on a CUDA device, all in one stream. A pass of up to kMaxGraphTokens tokens is a graph, captured once for
// each number of tokens and outputs and each range of context lengths; what differs between passes is read from device memory.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "cuda/attention/attention.h"
#include "cuda/elementwise/elementwise.h"
#include "cuda/gemm/gemm.h"
#include "cuda/runtime/kv_cache.h"
#include "cuda/runtime/pass_params.h"
#include "cuda/runtime/upload.h"
#include "cuda_api/library.h"

namespace tinychat::cuda {

class CudaBackend : public Backend {
 public:
  // `model` points into host memory, which must outlive the backend: after a failure it is read again, and files that the
  // options place are placed again.
  CudaBackend(const Model& model, const CudaOptions& options);

  std::unique_ptr<KvCache> new_cache() override;
  int max_tokens() const override { return kMaxTokens; }
  int max_sequence_tokens() const override { return kMaxSequenceTokens; }
  int max_uncut_tokens() const override { return std::max(kMaxTokens, shape_.capacity); }
  int max_top_k() const override { return kMaxTopK; }
  void run(const ForwardBatch& pass, const std::function<void()>& steps) override;
  void embed(const ForwardBatch& batch) override;
  void norm_qkv(int layer, const ForwardBatch& batch) override;
  void attention(int layer, const ForwardBatch& batch, Tokens queries) override;
  void compact_tokens(const ForwardBatch& batch) override;
  void attn_out_proj(int layer, const ForwardBatch& batch) override;
  void norm_gate_up(int layer, const ForwardBatch& batch) override;
  void mlp_down_proj(int layer, const ForwardBatch& batch) override;
  void add_deepstack(int layer, const ForwardBatch& batch) override;
  void layer_output(int index, const ForwardBatch& batch) override;
  // Answers top-k requests as well: logits of many tokens are computed in parts, and gone when top_k() would come.
  void norm_head(const ForwardBatch& batch) override;
  void final_hidden(const ForwardBatch& batch) override;

  static constexpr int kDecodeTokens = 32; // of sequences that decode beside one that prefills
  static constexpr int kMaxTokens = kMaxSequenceTokens + kDecodeTokens;

 private:
  // Outputs whose logits are computed together: all of a pass could take gigabytes.
  static constexpr int kLogitRows = 16;

  // Launches of a pass that is a graph depend on no more than these.
  struct PassShape {
    int num_tokens, num_outputs;
    bool wants_logits, wants_top_k, wants_hidden, has_embeddings;

    auto fields() const {
      return std::tie(num_tokens, num_outputs, wants_logits, wants_top_k, wants_hidden, has_embeddings);
    }
    bool operator<(const PassShape& other) const { return fields() < other.fields(); }
  };

  // Buffers of the tokens of a pass, [capacity][…].
  struct TokenBuffers {
    int capacity = 0;
    PassParams params;
    DeviceArray<float> residual, branch, qkv; // `branch`: what attention or MLP add, where that is normed first
    DeviceArray<uint16_t> normed, attention, hidden;
    DeviceArray<uint16_t> reordered; // an input in the order of a matrix with an order of its own
    DeviceArray<float> blocks;       // outputs of blocks of a matrix that have different input orders
    DeviceArray<int8_t> int8_values; // the quantized input of the next GEMM
    DeviceArray<float> int8_scales;
    DeviceArray<float> cosines, sines, local_cosines, local_sines;
  };

  // Everything on the device; built again after a failure.
  struct State {
    int resets;
    Stream stream;
    std::vector<DeviceArray<uint8_t>> weights;
    Model model; // with device pointers
    TokenBuffers tokens;
    DeviceArray<float> embeddings; // [tokens.capacity][input width], once a pass has needed them
    DeviceArray<uint8_t> scratch_memory;
    ScratchCache scratch;
    DeviceArray<float> frequencies, slopes, partials;
    DeviceArray<int> axes;
    DeviceArray<unsigned> split_counters;
    DeviceArray<float> logits;      // [kLogitRows][vocab]
    PinnedArray<float> host_logits; // [num_host_logits][vocab]
    int num_host_logits = 0;
    DeviceArray<uint32_t> seen, allowed; // [kLogitRows][ceil(vocab / 32)], a bit a token
    DeviceArray<Candidate> partial_top_k, candidates;
    PinnedArray<Candidate> host_candidates; // [kLogitRows][kMaxTopK]
    // Shapes whose kernels are loaded: loading is not allowed during a capture, so a shape's first pass is not captured.
    std::set<PassShape> kernels_loaded;
    std::map<std::pair<PassShape, int>, Graph> graphs; // and the context bucket
  };

  void build();
  TokenBuffers new_token_buffers(int num_tokens) const;
  static PassShape shape_of(const ForwardBatch& pass);
  void prepare(const ForwardBatch& pass);
  void reserve(const ForwardBatch& pass);
  void copy_embeddings(const ForwardBatch& pass);
  void capture(Graph& graph, const std::function<void()>& steps);
  void replay_graph(const ForwardBatch& pass, const std::function<void()>& steps);
  void copy_token_masks(const ForwardBatch& batch, int begin, int count);
  void hand_over(const ForwardBatch& batch, int begin, int count) const;

  bool uses_int8_activations(const Linear& w) const;
  Int8Activations int8_buffer(const Linear& w) const;
  void linear(const Linear& w, const uint16_t* x, int num_tokens, float* out, bool add,
              const Activated& activated = {});
  void norm_linear(const Linear& w, const float* x, const NormVectors& norm, int num_tokens, float* out,
                   const Activated& activated = {});
  void add_to_residual(const Linear& w, const uint16_t* x, int num_tokens, const NormVectors& post_norm,
                       const NormVectors& sum_norm);
  Attention attention_args(int layer) const;
  NormWeights norm_weights(const NormVectors& norm) const;
  const float* residual_row(int row) const;
  // Of a row of norm_head().
  size_t output_width() const { return config_.encoder ? config_.hidden_size : config_.vocab_size; }

  const Model source_;
  const ModelConfig& config_;
  const std::function<void(WeightMemory&)> place_files_;
  const CacheShape shape_;
  const DType dtype_;
  const bool int8_activations_;
  LaunchContext context_;
  std::unique_ptr<State> state_;

  PassShape pass_shape_ = {}; // of the pass that runs
  int context_bucket_ = 0;    // an upper bound of what its tokens see
  bool capturing_ = false;
};

} // namespace tinychat::cuda
