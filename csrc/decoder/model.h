// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A model: its configuration, its weights as views of the mapped shards, and the function that combines them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tinychat {

enum class Norm { kRms, kLayer };
enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };

constexpr int kOwnSpan = -1; // in ModelConfig::windows

constexpr int kKeyGroup = 32; // channels of a cached key that share a scale: biases make some channels large (Qwen)

// The configuration of a model, as in tinychat.json. One decoder serves every family, so no field names a model.
struct ModelConfig {
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;

  Norm norm = Norm::kRms;
  float norm_eps = 1e-5f;
  Activation activation = Activation::kSilu;
  bool gated = true;           // down(act(gate) * up) instead of down(act(up))
  bool parallel = false;       // attention and MLP read the same residual (Falcon)
  float embedding_scale = 1;   // Gemma multiplies by sqrt(hidden_size)
  float attention_scale = 0;   // of q·k; 0: 1/sqrt(head_dim)
  float attention_softcap = 0; // 0: none
  float logit_softcap = 0;     // 0: none
  int position_offset = 0;     // of learned positions (OPT: 2)
  int embedding_size = 0;      // width of a token's embedding row, if it is not hidden_size (OPT-350M); 0: hidden_size
  bool final_norm = true;      // there is a norm before the head
  // No vocabulary: inputs are embedding rows, outputs [vocab_size] are rows of the last norm [hidden_size], and of the
  // output_layers.
  bool encoder = false;

  std::vector<float> rope_inv_freq; // [rotated dimensions / 2]; empty: no rotary positions
  // [rotated dimensions / 2] the axis of a Position that rotates each pair, 0 … 2 (M-RoPE); empty: axis 0 for all
  std::vector<int> rope_axes;
  float rope_scale = 1;                   // of cos and sin (YaRN's attention factor)
  std::vector<float> rope_local_inv_freq; // for layers with a sliding window (Gemma 3); empty: rope_inv_freq
  std::vector<float> alibi_slopes;        // [heads]; empty: no ALiBi
  // [layers] number of slots a token attends to, itself included; 0: all; kOwnSpan: those of its span (only in an encoder);
  // empty: 0 for all
  std::vector<int> windows;
  // After each of so many first layers, a part of a token's embedding row is added to the residual (DeepStack, Meng et al.,
  // 2024). Fewer than all layers.
  int deepstack_layers = 0;
  // Of an encoder: layers, ascending, whose residuals an output has behind the row of the last norm.
  std::vector<int> output_layers;

  int embedding_width() const { return embedding_size > 0 ? embedding_size : hidden_size; }
  int input_width() const { return embedding_width() + deepstack_layers * hidden_size; } // of a batch's embedding rows
  int attention_width() const { return heads * head_dim; }
  bool has_own_spans() const { return std::find(windows.begin(), windows.end(), kOwnSpan) != windows.end(); }
  int qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
};

// A weight matrix y = W x, [rows][cols], in the layout r16k4 (integers) or r16k1 (16-bit floats):
// tiles of 16 rows. One vector register holds one value of each row, so no sum crosses lanes.
// The K formats (GGUF's) have scales of two levels: an fp16 number for each kBlock columns, and small integers per group.
enum class WeightFormat { kW4Zero, kW4Min, kW4K, kW5Zero, kW5Min, kW5K, kW6K, kW8Group, kW8Channel, kF16, kBf16 };

constexpr int kBlock = 256;        // columns of a block of the K formats
constexpr int kSmallestGroup = 16; // columns that share a scale: kW6K's

// Bits of a weight.
static constexpr int bits_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::kW4Zero:
    case WeightFormat::kW4Min:
    case WeightFormat::kW4K: return 4;
    case WeightFormat::kW5Zero:
    case WeightFormat::kW5Min:
    case WeightFormat::kW5K: return 5;
    case WeightFormat::kW6K: return 6;
    case WeightFormat::kW8Group:
    case WeightFormat::kW8Channel: return 8;
    default: return 16;
  }
}
static constexpr bool has_blocks(WeightFormat format) {
  return format == WeightFormat::kW4K || format == WeightFormat::kW5K || format == WeightFormat::kW6K;
}
// Whether weights are s*q + m, with a minimum m.
static constexpr bool has_mins(WeightFormat format) {
  return format == WeightFormat::kW4Min || format == WeightFormat::kW4K || format == WeightFormat::kW5Min ||
         format == WeightFormat::kW5K;
}
// The integer that stands for 0; kW4Zero without zeros has it, too.
static constexpr int center_of(WeightFormat format) {
  return format == WeightFormat::kW4Zero   ? 8
         : format == WeightFormat::kW5Zero ? 16
         : format == WeightFormat::kW6K    ? 32
                                           : 0;
}

struct Linear {
  WeightFormat format = WeightFormat::kF16;
  int rows = 0;
  int cols = 0;
  int group = 0; // columns that share a scale; kW8Channel: cols; 16-bit: 0
  // 4 bit [tiles][cols/8][16][4]; 5 bit [tiles][cols/32][5][16][4]: four lines of nibbles, then the fifth bits; 6 bit
  // [tiles][cols/16][3][16][4]: two lines of nibbles, then pairs of bits; 8 bit [tiles][cols/4][16][4]; 16 bit
  // [tiles][cols][16].
  const uint8_t* weight = nullptr;
  // fp16 [tiles][cols/group][16], of K formats [tiles][cols/kBlock][16]; kW8Channel: channel_scales instead
  const uint16_t* scales = nullptr;
  const uint16_t* mins = nullptr; // the same; weights are s*q + m, those of K formats d*s*q - e*m
  // kW6K: int8 s [tiles][cols/group][16]. kW4K, kW5K: s and m of 6 bits [tiles][cols/group][24], see six_bits().
  const uint8_t* subscales = nullptr;
  // kW4Zero: nibbles [tiles][cols/group][8], byte j: row j low, row j+8 high. Null: all are 8 (only on the CPU).
  const uint8_t* zeros = nullptr;
  const float* channel_scales = nullptr; // kW8Channel: [tiles*16]
  const float* bias = nullptr;           // [rows] or null
  const float* input_scale = nullptr;    // [cols], multiplies the input; or null
  // [cols] whole numbers: column j multiplies number input_order[j] of the (scaled) input; null: number j. GPTQ's desc_act
  // needs this, because columns that share a scale are stored together.
  const float* input_order = nullptr;

  bool present() const { return weight != nullptr; }
  int tiles() const { return (rows + 15) / 16; }
  size_t tile_bytes() const { return static_cast<size_t>(2) * cols * bits_of(format); }
};

// The vectors of a norm, [hidden]. An absent norm changes nothing.
struct NormVectors {
  const float* weight = nullptr;
  const float* bias = nullptr; // or null

  bool present() const { return weight != nullptr; }
};

struct Layer {
  NormVectors attn_norm;      // of the residual, as the input of the attention
  NormVectors mlp_norm;       // of the residual, as the input of the MLP; absent: it has the attention's input
  NormVectors attn_post_norm; // of the attention's output, before it is added to the residual (Gemma 2)
  NormVectors mlp_post_norm;
  NormVectors
      attn_sum_norm; // of the residual, after the attention's output was added; replaces the residual (OPT-350M)
  NormVectors mlp_sum_norm;
  const float* q_norm = nullptr; // [head_dim], per head (Qwen 3)
  const float* k_norm = nullptr;
  Linear qkv; // rows q | k | v
  Linear o;
  Linear up; // rows gate | up if gated
  Linear down;
  // Blocks of rows of qkv, and of up, whose input orders or formats differ; else empty. If only orders differ, they share
  // the memory of the matrix; otherwise the matrix has none of its own.
  std::vector<Linear> qkv_blocks, up_blocks;
};

struct Model {
  ModelConfig config;
  int context_length = 0; // all positions are smaller
  Linear embedding;       // [vocab][embedding width]; absent in an encoder
  Linear project_in;      // [hidden][embedding width]; absent if these are equal
  Linear positions;       // [positions][hidden], learned; absent otherwise
  std::vector<Layer> layers;
  NormVectors final_norm;
  Linear project_out; // [embedding width][hidden], before the head; absent if these are equal
  Linear head;        // [vocab][embedding width]; a copy of `embedding` if they are tied; absent in an encoder
};

// A named tensor of the checkpoint in memory; the caller keeps the memory alive.
struct Tensor {
  Linear linear;                 // a matrix, or
  const float* vector = nullptr; // a vector of `size` floats
  int size = 0;
};

// The rows [begin, begin + rows) of a matrix; `begin` is a multiple of 16.
Linear rows_of(const Linear& w, int begin, int rows);

// Returns a model whose caches hold up to `context_length` tokens. Throws std::invalid_argument, naming the field or the
// tensor, if a field is out of range, a list has the wrong length, or a tensor is missing, has the wrong shape for the
// config or is not used by it.
Model build_model(const ModelConfig& config, const std::map<std::string, Tensor>& tensors, int context_length);

// Returns whether `is` is true of any matrix before the last norm.
template <typename Is>
bool any_matrix(const Model& model, const Is& is) {
  bool found = false;
  const auto look_at = [&](const Linear& w) { found |= w.present() && is(w); };
  look_at(model.project_in);
  for (const Layer& l : model.layers) {
    for (const Linear* w : {&l.qkv, &l.o, &l.up, &l.down}) look_at(*w);
    for (const std::vector<Linear>* blocks : {&l.qkv_blocks, &l.up_blocks})
      for (const Linear& w : *blocks) look_at(w);
  }
  return found;
}

// Returns whether any matrix has an input order. Backends allocate buffers for the reordered input only then.
inline bool has_input_orders(const Model& model) {
  const auto has_order = [](const Linear& w) { return w.input_order != nullptr; };
  return has_order(model.project_out) || has_order(model.head) || any_matrix(model, has_order);
}

} // namespace tinychat
