// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/model.h"

#include <cmath>
#include <initializer_list>
#include <set>
#include <stdexcept>

namespace tinychat {
namespace {

class Lookup {
 public:
  explicit Lookup(const std::map<std::string, Tensor>& tensors) : tensors_(tensors) {}

  const float* vector(const std::string& name, int size, bool required) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      if (required) throw std::invalid_argument("the checkpoint has no tensor " + name);
      return nullptr;
    }
    if (found->second.vector == nullptr || found->second.size != size)
      throw std::invalid_argument("tensor " + name + " is not a vector of " + std::to_string(size));
    read_.insert(name);
    return found->second.vector;
  }

  NormVectors norm(const std::string& name, int size, bool required) {
    return {vector(name + ".weight", size, required), vector(name + ".bias", size, false)};
  }

  Linear linear(const std::string& name, int rows, int cols) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw std::invalid_argument("the checkpoint has no tensor " + name);
    Linear linear = found->second.linear;
    if (!linear.present() || linear.rows != rows || linear.cols != cols)
      throw std::invalid_argument("tensor " + name + " is not a matrix of " + std::to_string(rows) + " x " +
                                  std::to_string(cols));
    read_.insert(name);
    linear.bias = vector(name + ".bias", rows, false);
    linear.input_scale = vector(name + ".input_scale", cols, false);
    return linear;
  }

  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  const Tensor& at(const std::string& name) const { return tensors_.at(name); }

  // A tensor that nothing reads would change what the model means, and be ignored.
  void check_all_read() const {
    for (const auto& [name, tensor] : tensors_)
      if (read_.count(name) == 0)
        throw std::invalid_argument("tensor " + name + " belongs to no layer that the model's description has");
  }

 private:
  const std::map<std::string, Tensor>& tensors_;
  std::set<std::string> read_;
};

void check(bool is_right, const char* what) {
  if (!is_right) throw std::invalid_argument(what);
}

// What the kernels rely on: sizes, lengths of lists, and numbers that give numbers.
void check_config(const ModelConfig& c) {
  check(c.vocab_size > 0 && c.hidden_size > 0 && c.intermediate_size > 0 && c.layers > 0 && c.heads > 0 &&
            c.kv_heads > 0 && c.head_dim > 0 && c.embedding_size >= 0 && c.position_offset >= 0,
        "a size of the model is not positive");
  // The vector kernels read 16 floats at a time.
  check(
      c.hidden_size % 16 == 0 && c.embedding_width() % 16 == 0 && c.head_dim % 16 == 0 && c.intermediate_size % 16 == 0,
      "embedding size, hidden size, head size and feed-forward size must be multiples of 16");
  check(c.heads % c.kv_heads == 0, "the number of heads must be a multiple of the number of KV heads");
  for (const std::vector<float>* frequencies : {&c.rope_inv_freq, &c.rope_local_inv_freq})
    check(static_cast<int>(frequencies->size()) * 2 <= c.head_dim, "rotary dimensions exceed the head size");
  check(c.alibi_slopes.empty() || static_cast<int>(c.alibi_slopes.size()) == c.heads,
        "alibi_slopes must have one number a head");
  check(c.windows.empty() || static_cast<int>(c.windows.size()) == c.layers, "windows must have one number a layer");
  for (const int window : c.windows) check(window >= 0, "a window is negative");
  for (const std::vector<float>* numbers : {&c.rope_inv_freq, &c.rope_local_inv_freq, &c.alibi_slopes})
    for (const float number : *numbers) check(std::isfinite(number), "a rotary frequency or ALiBi slope is not finite");
  for (const float number : {c.embedding_scale, c.rope_scale}) check(std::isfinite(number), "a scale is not finite");
  // Negated, so that NaN fails. Of the last three 0 means none.
  for (const float number : {c.norm_eps, c.attention_scale, c.attention_softcap, c.logit_softcap})
    check(std::isfinite(number) && !(number < 0),
          "norm_eps, attention_scale and the soft-caps must be finite and not negative");
}

} // namespace

Model build_model(const ModelConfig& config, const std::map<std::string, Tensor>& tensors, int positions) {
  check_config(config);
  Lookup find(tensors);
  const int hidden = config.hidden_size, width = config.embedding_width();

  Model model;
  model.config = config;
  model.embedding = find.linear("embedding", config.vocab_size, width);
  if (width != hidden) {
    model.project_in = find.linear("project_in", hidden, width);
    model.project_out = find.linear("project_out", width, hidden);
  }
  if (find.has("positions")) {
    model.positions = find.linear("positions", find.at("positions").linear.rows, hidden);
    check(model.positions.rows - config.position_offset >= positions,
          "there are fewer learned positions than the context");
  }
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
  find.check_all_read();
  return model;
}

} // namespace tinychat
