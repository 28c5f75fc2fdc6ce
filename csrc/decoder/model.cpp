// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/model.h"

#include <stdexcept>

namespace tinychat {
namespace {

class Lookup {
 public:
  explicit Lookup(const std::map<std::string, Tensor>& tensors) : tensors_(tensors) {}

  const float* vector(const std::string& name, int size, bool required) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      if (required) throw std::invalid_argument("the checkpoint has no tensor " + name);
      return nullptr;
    }
    if (found->second.vector == nullptr || found->second.size != size)
      throw std::invalid_argument("tensor " + name + " is not a vector of " + std::to_string(size));
    return found->second.vector;
  }

  NormVectors norm(const std::string& name, int size, bool required) const {
    return {vector(name + ".weight", size, required), vector(name + ".bias", size, false)};
  }

  Linear linear(const std::string& name, int rows, int cols) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw std::invalid_argument("the checkpoint has no tensor " + name);
    Linear linear = found->second.linear;
    if (!linear.present() || linear.rows != rows || linear.cols != cols)
      throw std::invalid_argument("tensor " + name + " is not a matrix of " + std::to_string(rows) + " x " +
                                  std::to_string(cols));
    linear.bias = vector(name + ".bias", rows, false);
    linear.input_scale = vector(name + ".input_scale", cols, false);
    return linear;
  }

  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  const Tensor& at(const std::string& name) const { return tensors_.at(name); }

 private:
  const std::map<std::string, Tensor>& tensors_;
};

} // namespace

Model build_model(const ModelConfig& config, const std::map<std::string, Tensor>& tensors) {
  const Lookup find(tensors);
  const int hidden = config.hidden_size, width = config.embedding_width();
  // The vector kernels read 16 floats at a time.
  if (hidden % 16 != 0 || width % 16 != 0 || config.head_dim % 16 != 0 || config.intermediate_size % 16 != 0)
    throw std::invalid_argument("embedding size, hidden size, head size and feed-forward size must be multiples of 16");
  if (config.kv_heads <= 0 || config.heads % config.kv_heads != 0)
    throw std::invalid_argument("the number of heads must be a multiple of the number of KV heads");
  if (static_cast<int>(config.rope_inv_freq.size()) * 2 > config.head_dim)
    throw std::invalid_argument("rotary dimensions exceed the head size");

  Model model;
  model.config = config;
  model.embedding = find.linear("embedding", config.vocab_size, width);
  if (width != hidden) {
    model.project_in = find.linear("project_in", hidden, width);
    model.project_out = find.linear("project_out", width, hidden);
  }
  if (find.has("positions")) model.positions = find.linear("positions", find.at("positions").linear.rows, hidden);
  model.final_norm = find.norm("norm", hidden, config.final_norm);
  model.head = find.has("head") ? find.linear("head", config.vocab_size, width) : model.embedding;

  for (int i = 0; i < config.layers; ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    Layer layer;
    layer.attn_sum_norm = find.norm(prefix + "attn_sum_norm", hidden, false);
    layer.mlp_sum_norm = find.norm(prefix + "mlp_sum_norm", hidden, false);
    layer.attn_norm = find.norm(prefix + "attn_norm", hidden, !layer.attn_sum_norm.present());
    layer.mlp_norm = find.norm(prefix + "mlp_norm", hidden, !config.parallel && !layer.mlp_sum_norm.present());
    layer.attn_post_norm = find.norm(prefix + "attn_post_norm", hidden, false);
    layer.mlp_post_norm = find.norm(prefix + "mlp_post_norm", hidden, false);
    layer.q_norm = find.vector(prefix + "attn.q_norm.weight", config.head_dim, false);
    layer.k_norm = find.vector(prefix + "attn.k_norm.weight", config.head_dim, false);
    layer.qkv = find.linear(prefix + "attn.qkv", config.qkv_width(), hidden);
    layer.o = find.linear(prefix + "attn.o", hidden, config.attention_width());
    layer.up = config.gated ? find.linear(prefix + "mlp.gate_up", 2 * config.intermediate_size, hidden)
                            : find.linear(prefix + "mlp.up", config.intermediate_size, hidden);
    layer.down = find.linear(prefix + "mlp.down", hidden, config.intermediate_size);
    model.layers.push_back(layer);
  }
  return model;
}

} // namespace tinychat
