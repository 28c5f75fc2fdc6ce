// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The steps of the CUDA backend, as kernels in its stream.

#include <algorithm>
#include <cmath>

#include "cuda/runtime/cuda_backend.h"

namespace tinychat::cuda {

void CudaBackend::embed(const ForwardBatch& batch) {
  State& s = *state_;
  TokenBuffers& t = s.tokens;
  const int half = static_cast<int>(config_.rope_inv_freq.size());
  const int local_half = static_cast<int>(config_.rope_local_inv_freq.size());
  Embedding e = {};
  e.params = t.params.tokens();
  e.tokens = s.model.embedding;
  e.width = config_.embedding_width();
  e.rows = s.embeddings.get();
  e.row_width = config_.input_width();
  e.positions = s.model.positions;
  e.scale = config_.embedding_scale;
  e.offset = config_.position_offset;
  e.residual = t.residual.get();
  e.hidden = config_.hidden_size;
  e.to_project = s.model.project_in.present() ? t.normed.get() : nullptr;
  e.dtype = dtype_;
  e.rotary = {s.frequencies.get(), s.axes.get(), half, t.cosines.get(), t.sines.get()};
  e.local_rotary = {s.frequencies.get() + half, nullptr, local_half, t.local_cosines.get(), t.local_sines.get()};
  e.rotary_scale = config_.rope_scale;
  cuda::embed(context_, e, batch.num_tokens());
  if (s.model.project_in.present())
    linear(s.model.project_in, t.normed.get(), batch.num_tokens(), t.residual.get(), true);
}

NormWeights CudaBackend::norm_weights(const NormVectors& norm) const {
  return {norm.weight, norm.bias, config_.norm_eps, config_.norm};
}

const float* CudaBackend::residual_row(int row) const {
  return state_->tokens.residual.get() + static_cast<size_t>(row) * config_.hidden_size;
}

bool CudaBackend::uses_int8_activations(const Linear& w) const {
  return int8_activations_ && (w.format == WeightFormat::kW8Group || w.format == WeightFormat::kW8Channel);
}

Int8Activations CudaBackend::int8_buffer(const Linear& w) const {
  return {state_->tokens.int8_values.get(), state_->tokens.int8_scales.get(), w.group};
}

// out = W·norm(x), for a single token in one kernel.
void CudaBackend::norm_linear(const Linear& w, const float* x, const NormVectors& vectors, int num_tokens, float* out,
                              const Activated& activated) {
  uint16_t* const buffer = state_->tokens.normed.get();
  const Normed normed = {x, norm_weights(vectors), w.input_scale};
  if (w.input_order != nullptr) {
    norm(context_, normed, num_tokens, w.cols, dtype_, buffer);
    return linear(w, buffer, num_tokens, out, false, activated);
  }
  if (uses_int8_activations(w)) {
    const Int8Activations int8 = int8_buffer(w);
    norm_to_int8(context_, normed, num_tokens, w.cols, int8);
    return gemm(context_, {w, int8.values, DType::kInt8, num_tokens, out, false, activated, {}, int8.scales});
  }
  if (num_tokens == 1 && vectors.present() && fuses_norm(w, dtype_))
    return gemm(context_, {w, nullptr, dtype_, 1, out, false, activated, normed});
  norm(context_, normed, num_tokens, w.cols, dtype_, buffer);
  gemm(context_, {w, buffer, dtype_, num_tokens, out, false, activated});
}

void CudaBackend::norm_qkv(int layer, const ForwardBatch& batch) {
  const Layer& l = state_->model.layers[layer];
  const int num_tokens = batch.num_tokens();
  float* out = state_->tokens.qkv.get();
  float* const blocks = state_->tokens.blocks.get();
  if (l.qkv_blocks.empty()) return norm_linear(l.qkv, residual_row(0), l.attn_norm, num_tokens, out);
  for (const Linear& w : l.qkv_blocks) {
    norm_linear(w, residual_row(0), l.attn_norm, num_tokens, blocks);
    scatter(context_, blocks, num_tokens, w.rows, out, l.qkv.rows);
    out += w.rows;
  }
}

Attention CudaBackend::attention_args(int layer) const {
  const State& s = *state_;
  const TokenBuffers& t = s.tokens;
  const Layer& l = s.model.layers[layer];
  const int window = config_.windows.empty() ? 0 : config_.windows[layer];
  const bool local = window > 0 && !config_.rope_local_inv_freq.empty();
  Attention a = {};
  a.params = t.params.tokens();
  a.cache = shape_;
  a.layer = layer;
  a.heads = config_.heads;
  a.half = static_cast<int>((local ? config_.rope_local_inv_freq : config_.rope_inv_freq).size());
  a.window = window;
  a.scale = config_.attention_scale > 0 ? config_.attention_scale
                                        : 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  a.softcap = config_.attention_softcap;
  a.norm_eps = config_.norm_eps;
  a.q_norm = l.q_norm;
  a.k_norm = l.k_norm;
  a.cosines = (local ? t.local_cosines : t.cosines).get();
  a.sines = (local ? t.local_sines : t.sines).get();
  a.slopes = s.slopes.get();
  a.qkv = t.qkv.get();
  a.input_scale = l.o.input_scale;
  a.dtype = dtype_;
  a.out = t.attention.get();
  a.partials = s.partials.get();
  a.split_counters = s.split_counters.get();
  return a;
}

void CudaBackend::attention(int layer, const ForwardBatch& batch, Tokens queries) {
  const PassParams& params = state_->tokens.params;
  const Attention a = attention_args(layer);
  const auto splits = [&](int tokens) {
    return attention_splits(a, context_bucket_, tokens, context_.multiprocessors);
  };
  if (batch.num_tokens() == 1) return attention_decode_fused(context_, a, splits(1));
  rotate_and_store(context_, a, batch.num_tokens());
  const bool all = queries == Tokens::kAll;
  const int decoded = all ? params.num_decode_tokens() : params.num_decode_tokens_with_outputs();
  const int blocks = all ? params.num_query_blocks() : params.num_query_blocks_with_outputs();
  if (decoded > 0) attention_decode(context_, a, decoded, splits(decoded));
  if (blocks > 0) attention_prefill(context_, a, params.query_blocks(), blocks);
}

void CudaBackend::compact_tokens(const ForwardBatch& batch) {
  TokenBuffers& t = state_->tokens;
  cuda::compact_tokens(context_, t.params.outputs(), batch.num_outputs(), t.residual.get(), config_.hidden_size,
                       t.attention.get(), config_.attention_width());
}

// out (+)= W·x; or the activation of it, into `activated`.
void CudaBackend::linear(const Linear& w, const uint16_t* x, int num_tokens, float* out, bool add,
                         const Activated& activated) {
  if (w.input_order != nullptr) {
    uint16_t* const reordered = state_->tokens.reordered.get();
    reorder(context_, x, num_tokens, w.cols, w.input_order, reordered);
    x = reordered;
  }
  if (!uses_int8_activations(w)) return gemm(context_, {w, x, dtype_, num_tokens, out, add, activated});
  const Int8Activations int8 = int8_buffer(w);
  quantize_int8(context_, x, dtype_, num_tokens, w.cols, int8);
  gemm(context_, {w, int8.values, DType::kInt8, num_tokens, out, add, activated, {}, int8.scales});
}

// residual = norm?(residual + norm?(W·x))
void CudaBackend::add_to_residual(const Linear& w, const uint16_t* x, int num_tokens, const NormVectors& post_norm,
                                  const NormVectors& sum_norm) {
  TokenBuffers& t = state_->tokens;
  const int hidden = config_.hidden_size;
  if (post_norm.present()) {
    linear(w, x, num_tokens, t.branch.get(), false);
    add_normed(context_, {t.branch.get(), norm_weights(post_norm), nullptr}, num_tokens, hidden, t.residual.get());
  } else {
    linear(w, x, num_tokens, t.residual.get(), true);
  }
  if (sum_norm.present()) norm_residual(context_, norm_weights(sum_norm), num_tokens, hidden, t.residual.get());
}

void CudaBackend::attn_out_proj(int layer, const ForwardBatch& batch) {
  const Layer& l = state_->model.layers[layer];
  add_to_residual(l.o, state_->tokens.attention.get(), batch.num_tokens(), l.attn_post_norm, l.attn_sum_norm);
}

void CudaBackend::norm_gate_up(int layer, const ForwardBatch& batch) {
  const Layer& l = state_->model.layers[layer];
  TokenBuffers& t = state_->tokens;
  const int num_tokens = batch.num_tokens(), inner = config_.intermediate_size;
  const NormVectors& vectors = l.mlp_norm.present() ? l.mlp_norm : l.attn_norm;
  const Activated activated = {config_.activation, config_.gated, l.down.input_scale, t.hidden.get(), dtype_};
  if (l.up_blocks.empty()) return norm_linear(l.up, residual_row(0), vectors, num_tokens, nullptr, activated);
  float* const gate = t.blocks.get();
  float* const up = gate + static_cast<size_t>(num_tokens) * inner;
  norm_linear(l.up_blocks[0], residual_row(0), vectors, num_tokens, gate);
  norm_linear(l.up_blocks[1], residual_row(0), vectors, num_tokens, up);
  activate(context_, gate, up, num_tokens, inner, activated);
}

void CudaBackend::mlp_down_proj(int layer, const ForwardBatch& batch) {
  const Layer& l = state_->model.layers[layer];
  add_to_residual(l.down, state_->tokens.hidden.get(), batch.num_tokens(), l.mlp_post_norm, l.mlp_sum_norm);
}

void CudaBackend::add_deepstack(int layer, const ForwardBatch& batch) {
  const int hidden = config_.hidden_size, first = config_.embedding_width() + layer * hidden;
  cuda::add_deepstack(context_,
                      {state_->tokens.params.tokens(), state_->embeddings.get(), config_.input_width(), first,
                       state_->tokens.residual.get(), hidden},
                      batch.num_tokens());
}

// Never in a capture: run() makes no graph of a model with such outputs. One copy of all rows is faster than one a row.
void CudaBackend::layer_output(int index, const ForwardBatch& batch) {
  const size_t hidden = config_.hidden_size;
  std::vector<float> rows(batch.num_tokens() * hidden);
  check(cudaMemcpyAsync(rows.data(), residual_row(0), sizeof(float) * rows.size(), cudaMemcpyDeviceToHost,
                        context_.stream),
        "the output of a layer");
  check(cudaStreamSynchronize(context_.stream), "the output of a layer");
  for (const OutputRequest& output : batch.outputs)
    if (output.logits != nullptr)
      std::copy_n(&rows[output.token * hidden], hidden, output.logits + (1 + index) * hidden);
}

// In a capture results stay in pinned memory: they are handed over when the graph has run.
void CudaBackend::norm_head(const ForwardBatch& batch) {
  State& s = *state_;
  const Linear& project = s.model.project_out;
  float* const branch = s.tokens.branch.get();
  if (config_.encoder && s.model.final_norm.present())
    norm_residual(context_, norm_weights(s.model.final_norm), batch.num_outputs(), config_.hidden_size,
                  s.tokens.residual.get());
  for (int begin = 0; begin < batch.num_outputs(); begin += kLogitRows) {
    const int rows = std::min(kLogitRows, batch.num_outputs() - begin);
    if (project.present()) norm_linear(project, residual_row(begin), s.model.final_norm, rows, branch);
    if (!config_.encoder)
      norm_linear(s.model.head, project.present() ? branch : residual_row(begin),
                  project.present() ? NormVectors{} : s.model.final_norm, rows, s.logits.get());
    if (config_.logit_softcap > 0)
      softcap_logits(context_, s.logits.get(), rows * config_.vocab_size, config_.logit_softcap);
    if (pass_shape_.wants_top_k) {
      if (!capturing_) copy_token_masks(batch, begin, rows);
      cuda::top_k(context_,
                  {s.tokens.params.outputs() + begin, s.logits.get(), s.seen.get(), s.allowed.get(), config_.vocab_size,
                   s.partial_top_k.get(), s.candidates.get()},
                  rows);
      check(cudaMemcpyAsync(s.host_candidates.get(), s.candidates.get(), sizeof(Candidate) * rows * kMaxTopK,
                            cudaMemcpyDeviceToHost, context_.stream),
            "the candidates");
    }
    if (pass_shape_.wants_logits)
      check(cudaMemcpyAsync(s.host_logits.get(), config_.encoder ? residual_row(begin) : s.logits.get(),
                            sizeof(float) * rows * output_width(), cudaMemcpyDeviceToHost, context_.stream),
            "the logits");
    if (capturing_) continue;
    check(cudaStreamSynchronize(context_.stream), "the logits");
    hand_over(batch, begin, rows);
  }
}

// Never in a capture: run() makes no graph of a pass with hidden states.
void CudaBackend::final_hidden(const ForwardBatch& batch) {
  const size_t hidden = config_.hidden_size;
  norm_residual(context_, norm_weights(state_->model.final_norm), batch.num_tokens(), config_.hidden_size,
                state_->tokens.residual.get());
  for (int token = 0; token < batch.num_tokens(); ++token)
    if (batch.outputs[token].hidden != nullptr)
      check(cudaMemcpyAsync(batch.outputs[token].hidden, residual_row(token), sizeof(float) * hidden,
                            cudaMemcpyDeviceToHost, context_.stream),
            "the hidden states");
  check(cudaStreamSynchronize(context_.stream), "the hidden states");
}

} // namespace tinychat::cuda
