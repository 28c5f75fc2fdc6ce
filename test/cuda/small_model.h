// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A small model with random weights, and its memory.
#pragma once

#include <deque>

#include "matrix.h"

namespace tinychat {

struct SmallModel {
  static constexpr int kVocab = 96, kHidden = 64, kContext = 700;
  std::mt19937 random{3};
  std::deque<Matrix> matrices;
  std::vector<float> norm = std::vector<float>(kHidden, 1.0f);
  Model model;

  // `format` of the matrices of the layers.
  SmallModel(WeightFormat format, int layers) {
    ModelConfig& c = model.config;
    c.vocab_size = kVocab;
    c.hidden_size = kHidden;
    c.intermediate_size = 96;
    c.layers = layers;
    c.heads = 3;
    c.kv_heads = 1;
    c.head_dim = 32;
    for (int i = 0; i < 16; ++i) c.rope_inv_freq.push_back(std::pow(1e4f, -static_cast<float>(i) / 16));
    model.context_length = kContext;
    model.embedding = matrix(WeightFormat::kW8Group, kVocab, kHidden);
    model.head = matrix(WeightFormat::kW8Group, kVocab, kHidden);
    model.final_norm = {norm.data(), nullptr};
    for (int i = 0; i < layers; ++i) {
      Layer layer;
      layer.attn_norm = layer.mlp_norm = {norm.data(), nullptr};
      layer.qkv = matrix(format, 160, kHidden);
      layer.o = matrix(format, kHidden, 96);
      layer.up = matrix(format, 192, kHidden);
      layer.down = matrix(format, kHidden, 96);
      model.layers.push_back(layer);
    }
  }

  // Weights small enough for activations of about 1.
  Linear matrix(WeightFormat format, int rows, int cols) {
    matrices.emplace_back(Case{format, rows, cols, 32}, random);
    const float factor = format == WeightFormat::kW8Group ? 0.002f : 0.03f;
    for (uint16_t& scale : matrices.back().scales) scale = float_to_half(half_to_float(scale) * factor);
    return matrices.back().w;
  }
};

} // namespace tinychat
