// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/model.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <set>
#include <stdexcept>
#include <vector>

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

  Linear linear(const std::string& name, int rows, int cols, std::vector<Linear>* several = nullptr) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw std::invalid_argument("the checkpoint has no tensor " + name);
    Linear linear = found->second.linear;
    if (!linear.present() || linear.rows != rows || linear.cols != cols)
      throw std::invalid_argument("tensor " + name + " is not a matrix of " + std::to_string(rows) + " x " +
                                  std::to_string(cols));
    read_.insert(name);
    linear.bias = vector(name + ".bias", rows, false);
    linear.input_scale = vector(name + ".input_scale", cols, false);
    // One order for all rows; several are for who can take them in blocks.
    const std::vector<Linear> blocks = blocks_of(linear, name);
    if (blocks.size() > 1 && several == nullptr)
      throw std::invalid_argument("tensor " + name + " has several input orders");
    if (blocks.size() > 1) *several = blocks;
    if (blocks.size() == 1) linear.input_order = blocks[0].input_order;
    return linear;
  }

  // A matrix that is stored as one, or in parts of rows NAME.0, NAME.1, … of different formats; `blocks` as in Layer. The
  // bias and the input scale belong to the whole.
  Linear fused(const std::string& name, int rows, int cols, std::vector<Linear>* blocks) {
    if (!has(name + ".0")) return linear(name, rows, cols, blocks);
    if (has(name)) throw std::invalid_argument("tensor " + name + " is there, and its parts, too");
    const float* const bias = vector(name + ".bias", rows, false);
    const float* const input_scale = vector(name + ".input_scale", cols, false);
    int begin = 0;
    for (int i = 0; has(name + "." + std::to_string(i)); ++i) {
      const std::string part_name = name + "." + std::to_string(i);
      Linear part = at(part_name).linear;
      if (!part.present() || part.cols != cols || part.rows > rows - begin || begin % 16 != 0)
        throw std::invalid_argument("tensor " + part_name + " is not a part of a matrix of " + std::to_string(rows) +
                                    " x " + std::to_string(cols));
      read_.insert(part_name);
      part.bias = bias == nullptr ? nullptr : bias + begin;
      part.input_scale = input_scale;
      const std::vector<Linear> ordered = blocks_of(part, part_name);
      if (ordered.empty()) blocks->push_back(part);
      blocks->insert(blocks->end(), ordered.begin(), ordered.end());
      begin += part.rows;
    }
    if (begin != rows)
      throw std::invalid_argument("the parts of tensor " + name + " do not have its " + std::to_string(rows) + " rows");
    Linear whole;
    whole.format = blocks->front().format;
    whole.rows = rows;
    whole.cols = cols;
    whole.group = blocks->front().group;
    return whole;
  }

  // A table whose rows are read, and not multiplied.
  Linear table(const std::string& name, int rows, int cols) {
    if (has(name + ".input_order")) throw std::invalid_argument("tensor " + name + " has an input order");
    return linear(name, rows, cols);
  }

  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  const Tensor& at(const std::string& name) const { return tensors_.at(name); }

  // A tensor that nothing reads would change what the model means, and be ignored.
  void check_all_read() const {
    for (const auto& [name, tensor] : tensors_)
      if (read_.count(name) == 0)
        throw std::invalid_argument("tensor " + name + " belongs to no layer that the model configuration has");
  }

 private:
  // What NAME.input_order says: for each block of rows their number, and then its columns; each column once.
  std::vector<Linear> blocks_of(const Linear& w, const std::string& name) {
    const auto found = tensors_.find(name + ".input_order");
    if (found == tensors_.end()) return {};
    read_.insert(found->first);
    const auto invalid = [&] {
      return std::invalid_argument("tensor " + name + ".input_order is no order of columns");
    };
    const float* values = found->second.vector;
    const size_t size = values == nullptr ? 0 : found->second.size, block = size_t{1} + w.cols;
    if (size == 0 || size % block != 0) throw invalid();
    std::vector<Linear> blocks;
    int begin = 0;
    for (const float* end = values + size; values != end; values += block) {
      const int rows = values[0] >= 1 && values[0] <= w.rows - begin ? static_cast<int>(values[0]) : 0;
      if (rows == 0 || begin % 16 != 0) throw invalid();
      std::vector<bool> there(w.cols);
      for (int i = 1; i <= w.cols; ++i) {
        const float value = values[i];
        if (!(value >= 0 && value < w.cols) || static_cast<float>(static_cast<int>(value)) != value ||
            there[static_cast<int>(value)])
          throw invalid();
        there[static_cast<int>(value)] = true;
      }
      blocks.push_back(rows_of(w, begin, rows));
      blocks.back().input_order = values + 1;
      begin += rows;
    }
    if (begin != w.rows) throw invalid();
    return blocks;
  }

  const std::map<std::string, Tensor>& tensors_;
  std::set<std::string> read_;
};

void check(bool is_right, const char* what) {
  if (!is_right) throw std::invalid_argument(what);
}

// What the kernels rely on: sizes, lengths of lists, and numbers that give numbers.
void check_config(const ModelConfig& c) {
  check(c.vocab_size > 0 && c.hidden_size > 0 && c.intermediate_size > 0 && c.layers >= (c.encoder ? 0 : 1) &&
            c.heads > 0 && c.kv_heads > 0 && c.head_dim > 0 && c.embedding_size >= 0 && c.position_offset >= 0,
        "a size of the model is not positive");
  // The vector kernels read 16 floats at a time.
  check(
      c.hidden_size % 16 == 0 && c.embedding_width() % 16 == 0 && c.head_dim % 16 == 0 && c.intermediate_size % 16 == 0,
      "embedding size, hidden size, head size and feed-forward size must be multiples of 16");
  check(!c.encoder || c.vocab_size == c.hidden_size * (1 + static_cast<int64_t>(c.output_layers.size())),
        "the outputs of an encoder are as wide as its last norm and its output_layers");
  check(c.encoder || c.output_layers.empty(), "only an encoder has output_layers");
  check(std::adjacent_find(c.output_layers.begin(), c.output_layers.end(), std::greater_equal<>()) ==
                c.output_layers.end() &&
            (c.output_layers.empty() || (c.output_layers.front() >= 0 && c.output_layers.back() < c.layers)),
        "output_layers are not ascending, or a layer is not there");
  check(c.deepstack_layers >= 0 && (c.deepstack_layers == 0 || (c.deepstack_layers < c.layers && !c.encoder)),
        "deepstack_layers is negative, not below the number of layers, or of an encoder");
  check(c.heads % c.kv_heads == 0, "the number of heads must be a multiple of the number of KV heads");
  for (const std::vector<float>* frequencies : {&c.rope_inv_freq, &c.rope_local_inv_freq})
    check(static_cast<int>(frequencies->size()) * 2 <= c.head_dim, "rotary dimensions exceed the head size");
  check(c.rope_axes.empty() || c.rope_axes.size() == c.rope_inv_freq.size(),
        "rope_axes must have one axis a rotary frequency");
  for (const int axis : c.rope_axes) check(axis >= 0 && axis < 3, "an axis of rope_axes is not 0, 1 or 2");
  check(c.rope_axes.empty() || c.rope_local_inv_freq.empty(),
        "rope_axes and rope_local_inv_freq are not served together");
  check(c.alibi_slopes.empty() || static_cast<int>(c.alibi_slopes.size()) == c.heads,
        "alibi_slopes must have one number a head");
  check(c.windows.empty() || static_cast<int>(c.windows.size()) == c.layers, "windows must have one number a layer");
  for (const int window : c.windows) check(window >= 0 || (window == kOwnSpan && c.encoder), "a window is negative");
  for (const std::vector<float>* numbers : {&c.rope_inv_freq, &c.rope_local_inv_freq, &c.alibi_slopes})
    for (const float number : *numbers) check(std::isfinite(number), "a rotary frequency or ALiBi slope is not finite");
  for (const float number : {c.embedding_scale, c.rope_scale}) check(std::isfinite(number), "a scale is not finite");
  // Negated, so that NaN fails. Of the last three 0 means none.
  for (const float number : {c.norm_eps, c.attention_scale, c.attention_softcap, c.logit_softcap})
    check(std::isfinite(number) && !(number < 0),
          "norm_eps, attention_scale and the soft-caps must be finite and not negative");
}

} // namespace

Linear rows_of(const Linear& w, int begin, int rows) {
  const size_t tile = begin / 16, groups = w.group > 0 ? w.cols / w.group : 0;
  const size_t scales = has_blocks(w.format) ? w.cols / kBlock : groups;
  Linear block = w;
  block.rows = rows;
  block.weight += tile * w.tile_bytes();
  if (w.scales != nullptr) block.scales += tile * scales * 16;
  if (w.mins != nullptr) block.mins += tile * scales * 16;
  if (w.subscales != nullptr) block.subscales += tile * groups * (has_mins(w.format) ? 24 : 16);
  if (w.zeros != nullptr) block.zeros += tile * groups * 8;
  if (w.channel_scales != nullptr) block.channel_scales += tile * 16;
  if (w.bias != nullptr) block.bias += begin;
  return block;
}

Model build_model(const ModelConfig& config, const std::map<std::string, Tensor>& tensors, int context_length) {
  check_config(config);
  Lookup find(tensors);
  const int hidden = config.hidden_size, width = config.embedding_width();

  Model model;
  model.config = config;
  model.context_length = context_length;
  if (!config.encoder) model.embedding = find.table("embedding", config.vocab_size, width);
  if (width != hidden || (config.encoder && find.has("project_in"))) {
    model.project_in = find.linear("project_in", hidden, width);
    if (!config.encoder) model.project_out = find.linear("project_out", width, hidden);
  }
  if (find.has("positions")) {
    model.positions = find.table("positions", find.at("positions").linear.rows, hidden);
    check(model.positions.rows - config.position_offset >= context_length,
          "there are fewer learned positions than the context");
  }
  model.final_norm = find.norm("norm", hidden, config.final_norm);
  if (!config.encoder) model.head = find.has("head") ? find.linear("head", config.vocab_size, width) : model.embedding;

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
    layer.qkv = find.fused(prefix + "attn.qkv", config.qkv_width(), hidden, &layer.qkv_blocks);
    layer.o = find.linear(prefix + "attn.o", hidden, config.attention_width());
    layer.up = config.gated ? find.fused(prefix + "mlp.gate_up", 2 * config.intermediate_size, hidden, &layer.up_blocks)
                            : find.linear(prefix + "mlp.up", config.intermediate_size, hidden);
    if (!layer.up_blocks.empty() &&
        (layer.up_blocks.size() != 2 || layer.up_blocks[0].rows != config.intermediate_size))
      throw std::invalid_argument("the parts of " + prefix + "mlp.gate_up are not gate and up");
    layer.down = find.linear(prefix + "mlp.down", hidden, config.intermediate_size);
    model.layers.push_back(layer);
  }
  find.check_all_read();
  return model;
}

} // namespace tinychat
