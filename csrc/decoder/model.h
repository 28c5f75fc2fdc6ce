// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What a model is: its description (config), its weights as views of the mapped shards, and how the two meet.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tinychat {

enum class Norm { kRms, kLayer };
enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };

constexpr int kKeyGroup = 32; // channels of a cached key that share a scale: biases make some channels large (Qwen)

// The family's description, as tinychat.json holds it. One decoder serves every family: nothing here names a model.
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
  int embedding_size = 0;      // of a token's row where it is not `hidden_size` numbers (OPT-350M); 0: it is
  bool final_norm = true;      // there is a norm before the head

  std::vector<float> rope_inv_freq; // [rotated dimensions / 2]; empty: no rotary positions
  // [rotated dimensions / 2] the axis of a Position that turns each pair, 0 … 2 (M-RoPE); empty: every position is one number
  std::vector<int> rope_axes;
  float rope_scale = 1; // of cos and sin (YaRN's attention factor)
  std::vector<float>
      rope_local_inv_freq;         // of layers with a sliding window where they differ (Gemma 3); empty: the same
  std::vector<float> alibi_slopes; // [heads]; empty: no ALiBi
  std::vector<int> windows;        // [layers] positions a token sees, itself included; 0: all; empty: all layers all

  int embedding_width() const { return embedding_size > 0 ? embedding_size : hidden_size; }
  int attention_width() const { return heads * head_dim; }
  int qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
};

// A weight matrix y = W x, [rows][cols], in the layout r16k4 (integers) or r16k1 (16-bit floats):
// tiles of 16 rows, so that one vector register holds one value of each row and nothing is summed across lanes.
enum class WeightFormat { kW4Zero, kW4Min, kW8Group, kW8Channel, kF16, kBf16 };

struct Linear {
  WeightFormat format = WeightFormat::kF16;
  int rows = 0;
  int cols = 0;
  int group = 0; // columns that share a scale; kW8Channel: cols; 16-bit: 0
  const uint8_t* weight =
      nullptr; // 4 bit [tiles][cols/8][16][4]; 8 bit [tiles][cols/4][16][4]; 16 bit [tiles][cols][16]
  const uint16_t* scales = nullptr; // fp16 [tiles][cols/group][16]; kW8Channel: channel_scales instead
  const uint16_t* mins = nullptr;   // kW4Min: fp16 [tiles][cols/group][16]
  // kW4Zero: nibbles [tiles][cols/group][8], byte j: row j low, row j+8 high. Null: each is 8, which only the CPU takes.
  const uint8_t* zeros = nullptr;
  const float* channel_scales = nullptr; // kW8Channel: [tiles*16]
  const float* bias = nullptr;           // [rows] or null
  const float* input_scale = nullptr;    // [cols], multiplies the input; or null
  // [cols] whole numbers: column j multiplies number input_order[j] of the (scaled) input; null: number j. (GPTQ's desc_act:
  // columns that share a scale lie together.)
  const float* input_order = nullptr;

  bool present() const { return weight != nullptr; }
  int tiles() const { return (rows + 15) / 16; }
};

// The vectors of a norm, [hidden]. An absent one leaves everything as it is.
struct NormVectors {
  const float* weight = nullptr;
  const float* bias = nullptr; // or null

  bool present() const { return weight != nullptr; }
};

struct Layer {
  NormVectors attn_norm;      // of the residual, before the part reads it
  NormVectors mlp_norm;       // absent: the MLP reads what the attention reads
  NormVectors attn_post_norm; // of the part's output, before it is added to the residual (Gemma 2)
  NormVectors mlp_post_norm;
  NormVectors attn_sum_norm; // of the residual, after the part's output is added: it stays so (OPT-350M)
  NormVectors mlp_sum_norm;
  const float* q_norm = nullptr; // [head_dim], per head (Qwen 3)
  const float* k_norm = nullptr;
  Linear qkv; // rows q | k | v
  Linear o;
  Linear up; // rows gate | up where gated
  Linear down;
  // Blocks of rows of qkv, and of up, that take their input in different orders, one after the other; empty where all of the
  // matrix takes it in one. They share the memory of the matrix.
  std::vector<Linear> qkv_blocks, up_blocks;
};

struct Model {
  ModelConfig config;
  int context_length = 0; // positions are smaller
  Linear embedding;       // [vocab][embedding width]
  Linear project_in;      // [hidden][embedding width]; absent where these are the same
  Linear positions;       // [positions][hidden], learned; absent otherwise
  std::vector<Layer> layers;
  NormVectors final_norm;
  Linear project_out; // [embedding width][hidden], before the head; absent likewise
  Linear head;        // [vocab][embedding width]; a copy of `embedding` where they are tied
};

// A named tensor of the checkpoint as it lies in memory; the owner keeps the memory alive.
struct Tensor {
  Linear linear;                 // a matrix, or
  const float* vector = nullptr; // a vector of `size` floats
  int size = 0;
};

// The rows [begin, begin + rows) of a matrix; `begin` is a multiple of 16.
Linear rows_of(const Linear& w, int begin, int rows);

// A model whose caches have up to `context_length` tokens. Throws std::invalid_argument, naming the field or the tensor, where a
// field is out of range, a list has another length than the kernels rely on, or a tensor is missing, has another shape than
// the config says, or is one that no layer of the config reads.
Model build_model(const ModelConfig& config, const std::map<std::string, Tensor>& tensors, int context_length);

// Whether a matrix takes its input in an order of its own: backends have buffers for that only then.
inline bool has_input_orders(const Model& model) {
  bool found = false;
  for (const Linear* w : {&model.project_in, &model.project_out, &model.head}) found |= w->input_order != nullptr;
  for (const Layer& l : model.layers) {
    for (const Linear* w : {&l.qkv, &l.o, &l.up, &l.down}) found |= w->input_order != nullptr;
    found |= !l.qkv_blocks.empty() || !l.up_blocks.empty();
  }
  return found;
}

} // namespace tinychat
