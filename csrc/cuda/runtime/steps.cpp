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
  const int rows = batch.num_tokens();
  const int half = static_cast<int>(config_.rope_inv_freq.size());
  const int local_half = static_cast<int>(config_.rope_local_inv_freq.size());
  Embedding e = {};
  e.step = s.step.get();
  e.tokens = s.model.embedding;
  e.positions = s.model.positions;
  e.scale = config_.embedding_scale;
  e.offset = config_.position_offset;
  e.residual = s.residual.get();
  e.hidden = config_.hidden_size;
  e.to_project = s.model.project_in.present() ? s.normed.get() : nullptr;
  e.number = number_;
  e.angles = {s.frequencies.get(), half, s.cosines.get(), s.sines.get()};
  e.local_angles = {s.frequencies.get() + half, local_half, s.local_cosines.get(), s.local_sines.get()};
  e.angle_scale = config_.rope_scale;
  cuda::embed(queue_, e, rows);
  if (s.model.project_in.present()) product(s.model.project_in, s.normed.get(), rows, s.residual.get(), true);
}

NormWeights CudaBackend::norm_weights(const NormVectors& norm) const {
  return {norm.weight, norm.bias, config_.norm_eps, config_.norm};
}

const float* CudaBackend::residual_row(int row) const {
  return state_->residual.get() + static_cast<size_t>(row) * config_.hidden_size;
}

bool CudaBackend::takes_bytes(const Linear& w) const {
  return byte_activations_ && (w.format == WeightFormat::kW8Group || w.format == WeightFormat::kW8Channel);
}

Bytes CudaBackend::bytes_for(const Linear& w) const {
  return {state_->bytes.get(), state_->byte_scales.get(), w.group};
}

// W·norm(x) of rows of x, in one kernel for one of them.
void CudaBackend::normed_product(const Linear& w, const float* x, const NormVectors& vectors, int rows, float* out,
                                 const Activated& activated) {
  State& s = *state_;
  const Normed normed = {x, norm_weights(vectors), w.input_scale};
  if (w.input_order != nullptr) {
    norm(queue_, normed, rows, w.cols, number_, s.normed.get());
    return product(w, s.normed.get(), rows, out, false, activated);
  }
  if (takes_bytes(w)) {
    const Bytes bytes = bytes_for(w);
    norm_to_bytes(queue_, normed, rows, w.cols, bytes);
    return multiply(queue_, {w, bytes.bytes, Number::kBytes, rows, out, false, activated, {}, bytes.scales});
  }
  if (rows == 1 && vectors.present() && makes_norm(w, number_))
    return multiply(queue_, {w, nullptr, number_, 1, out, false, activated, normed});
  norm(queue_, normed, rows, w.cols, number_, s.normed.get());
  multiply(queue_, {w, s.normed.get(), number_, rows, out, false, activated});
}

void CudaBackend::norm_qkv(int layer, const ForwardBatch& batch) {
  const int rows = batch.num_tokens();
  const Layer& l = state_->model.layers[layer];
  float* out = state_->qkv.get();
  if (l.qkv_blocks.empty()) return normed_product(l.qkv, residual_row(0), l.attn_norm, rows, out);
  for (const Linear& w : l.qkv_blocks) {
    normed_product(w, residual_row(0), l.attn_norm, rows, state_->blocks.get());
    place(queue_, state_->blocks.get(), rows, w.rows, out, l.qkv.rows);
    out += w.rows;
  }
}

// Of every token: the kernels do not leave any out.
void CudaBackend::attention(int layer, const ForwardBatch& batch, Tokens /*queries*/) {
  State& s = *state_;
  const Layer& l = s.model.layers[layer];
  const int window = config_.windows.empty() ? 0 : config_.windows[layer];
  const bool local = window > 0 && !config_.rope_local_inv_freq.empty();
  Attention a = {};
  a.step = s.step.get();
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
  a.cosines = (local ? s.local_cosines : s.cosines).get();
  a.sines = (local ? s.local_sines : s.sines).get();
  a.slopes = s.slopes.get();
  a.qkv = s.qkv.get();
  a.input_scale = l.o.input_scale;
  a.number = number_;
  a.out = s.attention.get();
  a.partials = s.partials.get();
  a.arrivals = s.arrivals.get();
  if (batch.num_tokens() > 1) attend_many(queue_, a, batch.num_tokens());
  else attend_one(queue_, a, attention_splits(a, reach_, queue_.multiprocessors));
}

// check_pass() leaves the last token alone as what is to be moved.
void CudaBackend::compact_tokens(const ForwardBatch& batch) {
  const int first = batch.outputs[0].token, count = batch.num_outputs();
  move_up(state_->residual.get(), first, count, config_.hidden_size);
  move_up(state_->attention.get(), first, count, config_.attention_width());
}

// Rows first … become rows 0 …
template <typename Number>
void CudaBackend::move_up(Number* rows, int first, int count, int width) {
  check(cudaMemcpyAsync(rows, rows + static_cast<size_t>(first) * width, sizeof(Number) * width * count,
                        cudaMemcpyDeviceToDevice, queue_.stream),
        "a pass");
}

// out = W·x, or added to what is there; or `activated` of it
void CudaBackend::product(const Linear& w, const uint16_t* x, int rows, float* out, bool add,
                          const Activated& activated) {
  if (w.input_order != nullptr) {
    order(queue_, x, rows, w.cols, w.input_order, state_->ordered.get());
    x = state_->ordered.get();
  }
  Product product = {w, x, number_, rows, out, add, activated};
  if (takes_bytes(w)) {
    const Bytes bytes = bytes_for(w);
    to_bytes(queue_, x, number_, rows, w.cols, bytes);
    product.x = bytes.bytes;
    product.x_scales = bytes.scales;
    product.number = Number::kBytes;
  }
  multiply(queue_, product);
}

// residual = norm?(residual + norm?(W·x))
void CudaBackend::add_to_residual(const Linear& w, int rows, const uint16_t* x, const NormVectors& post_norm,
                                  const NormVectors& sum_norm) {
  State& s = *state_;
  const int hidden = config_.hidden_size;
  if (post_norm.present()) {
    product(w, x, rows, s.part.get(), false);
    add_normed(queue_, {s.part.get(), norm_weights(post_norm), nullptr}, rows, hidden, s.residual.get());
  } else {
    product(w, x, rows, s.residual.get(), true);
  }
  if (sum_norm.present()) norm_residual(queue_, norm_weights(sum_norm), rows, hidden, s.residual.get());
}

void CudaBackend::attn_out_proj(int layer, const ForwardBatch& batch) {
  const Layer& l = state_->model.layers[layer];
  add_to_residual(l.o, batch.num_tokens(), state_->attention.get(), l.attn_post_norm, l.attn_sum_norm);
}

void CudaBackend::norm_gate_up(int layer, const ForwardBatch& batch) {
  const int rows = batch.num_tokens();
  const Layer& l = state_->model.layers[layer];
  const NormVectors& vectors = l.mlp_norm.present() ? l.mlp_norm : l.attn_norm;
  const Activated activated = {config_.activation, config_.gated, l.down.input_scale, state_->hidden.get(), number_};
  if (l.up_blocks.empty()) return normed_product(l.up, residual_row(0), vectors, rows, nullptr, activated);
  float* gate = state_->blocks.get();
  float* rest = gate + static_cast<size_t>(rows) * config_.intermediate_size;
  normed_product(l.up_blocks[0], residual_row(0), vectors, rows, gate);
  normed_product(l.up_blocks[1], residual_row(0), vectors, rows, rest);
  activate(queue_, gate, rest, rows, config_.intermediate_size, activated);
}

void CudaBackend::mlp_down_proj(int layer, const ForwardBatch& batch) {
  const Layer& l = state_->model.layers[layer];
  add_to_residual(l.down, batch.num_tokens(), state_->hidden.get(), l.mlp_post_norm, l.mlp_sum_norm);
}

void CudaBackend::norm_head(const ForwardBatch& batch) {
  State& s = *state_;
  for (int begin = 0; begin < batch.num_tokens(); begin += kLogitRows) {
    const int rows = std::min(kLogitRows, batch.num_tokens() - begin);
    const Linear& project = s.model.project_out;
    if (project.present()) normed_product(project, residual_row(begin), s.model.final_norm, rows, s.part.get());
    normed_product(s.model.head, project.present() ? s.part.get() : residual_row(begin),
                   project.present() ? NormVectors{} : s.model.final_norm, rows, s.logits.get());
    if (config_.logit_softcap > 0) cap(queue_, s.logits.get(), rows * config_.vocab_size, config_.logit_softcap);
    for (int r = 0; r < rows; ++r)
      if (float* logits = batch.outputs[begin + r].logits; logits != nullptr) copy_logits(r, logits);
  }
}

// Of the last token: check_pass() leaves no other. How many, prepare() has told the device.
void CudaBackend::top_k(const ForwardBatch& /*batch*/) {
  State& s = *state_;
  cuda::choose(queue_, {s.step.get(), s.logits.get(), s.seen.get(), s.allowed.get(), config_.vocab_size, s.shares.get(),
                        s.candidates.get()});
  // As many as the largest choice has: the record is that of every choice.
  check(cudaMemcpyAsync(s.host_candidates.get(), s.candidates.get(), sizeof(Candidate) * kMostCandidates,
                        cudaMemcpyDeviceToHost, queue_.stream),
        "the choice");
}

// Into pinned memory, and from there to where they are wanted; a record is read there when it has run.
void CudaBackend::copy_logits(int row, float* logits) {
  const size_t vocab = config_.vocab_size;
  check(cudaMemcpyAsync(state_->host_logits.get(), state_->logits.get() + row * vocab, vocab * sizeof(float),
                        cudaMemcpyDeviceToHost, queue_.stream),
        "the logits");
  if (recording_) return;
  check(cudaStreamSynchronize(queue_.stream), "the logits");
  std::copy_n(state_->host_logits.get(), vocab, logits);
}

} // namespace tinychat::cuda
