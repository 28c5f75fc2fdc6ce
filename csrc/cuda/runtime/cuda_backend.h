// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The decoder's steps on a CUDA device. Everything goes into one stream. A decoded token is one graph, recorded once for
// every range of context lengths; what differs between tokens and caches is read from device memory.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "cuda/attention/attention.h"
#include "cuda/elementwise/elementwise.h"
#include "cuda/gemm/gemm.h"
#include "cuda/runtime/kv_cache.h"
#include "cuda/runtime/upload.h"
#include "cuda_api/library.h"

namespace tinychat::cuda {

class CudaBackend : public Backend {
 public:
  // `model` points into host memory, which must outlive the backend: after a failure it is read again, and files that
  // the options place are placed again.
  CudaBackend(const Model& model, const CudaOptions& options);

  std::unique_ptr<KvCache> new_cache() override;
  int max_tokens() const override { return kMaxRows; }
  int max_top_k() const override { return kMostCandidates; }
  void check_pass(const ForwardBatch& pass) const override;
  void run(const ForwardBatch& pass, const std::function<void()>& steps) override;
  void embed(const ForwardBatch& batch) override;
  void norm_qkv(int layer, const ForwardBatch& batch) override;
  void attention(int layer, const ForwardBatch& batch, Tokens queries) override;
  void compact_tokens(const ForwardBatch& batch) override;
  void attn_out_proj(int layer, const ForwardBatch& batch) override;
  void norm_gate_up(int layer, const ForwardBatch& batch) override;
  void mlp_down_proj(int layer, const ForwardBatch& batch) override;
  void norm_head(const ForwardBatch& batch) override;
  void top_k(const ForwardBatch& batch) override;

 private:
  static constexpr int kLogitRows = 16; // whose logits are computed together: all of a pass could take gigabytes

  // All that lies on the device, made anew after a failure.
  struct State {
    int resets;
    Stream stream;
    std::vector<DeviceArray<uint8_t>> weights;
    Model model; // with device pointers
    PinnedArray<Step> host_step;
    DeviceArray<Step> step;
    // [kMaxRows][…]
    DeviceArray<float> residual, part, qkv;
    DeviceArray<uint16_t> normed, attention, hidden;
    DeviceArray<uint16_t> ordered; // an input in the order of a matrix that has one of its own; and of its products
    DeviceArray<float> blocks;     // those that take it in another order than their neighbours
    DeviceArray<int8_t> bytes;     // of what is multiplied next
    DeviceArray<float> byte_scales;
    DeviceArray<float> frequencies, cosines, sines, local_cosines, local_sines;
    DeviceArray<float> slopes, partials;
    DeviceArray<unsigned> arrivals;
    DeviceArray<float> logits;           // [kLogitRows][vocab]
    PinnedArray<float> host_logits;      // [vocab]
    DeviceArray<uint32_t> seen, allowed; // a bit a token
    DeviceArray<Candidate> shares, candidates;
    PinnedArray<Candidate> host_candidates; // [kMostCandidates]
    // A token has been decoded, and one has been chosen: kernels are loaded, which a recording could not wait for.
    bool warm[2] = {};
    std::map<std::pair<int, bool>, Graph> graphs; // by the length of context that they are made for, and who chooses
  };

  void build();
  bool takes_bytes(const Linear& w) const;
  Bytes bytes_for(const Linear& w) const;
  void run_recorded(const ForwardBatch& pass, bool chooses, const std::function<void()>& steps);
  void prepare(const ForwardBatch& pass);
  void hand_over(const ForwardBatch& pass) const;
  void product(const Linear& w, const uint16_t* x, int rows, float* out, bool add, const Activated& activated = {});
  template <typename Number>
  void move_up(Number* rows, int first, int count, int width);
  void add_to_residual(const Linear& w, int rows, const uint16_t* x, const NormVectors& post_norm,
                       const NormVectors& sum_norm);
  void normed_product(const Linear& w, const float* x, const NormVectors& norm, int rows, float* out,
                      const Activated& activated = {});
  NormWeights norm_weights(const NormVectors& norm) const;
  const float* residual_row(int row) const;
  void copy_step(int rows);
  void copy_logits(int row, float* logits);

  const Model source_;
  const ModelConfig& config_;
  const std::function<void(WeightMemory&)> place_files_;
  const CacheShape shape_;
  const Number number_;
  const bool byte_activations_;
  Queue queue_;
  std::unique_ptr<State> state_;

  int reach_ = 0; // a length of context that holds it
  bool recording_ = false;
};

} // namespace tinychat::cuda
