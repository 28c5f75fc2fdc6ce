// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "cpu/embedding.h"
#include "cpu/half.h"
#include "cpu/kv_cache.h"

namespace tinychat {
namespace {

// Where a part of n things begins; it ends where the next one does. `step`: it begins at a multiple of it. A thread's parts are
// neighbours, and become smaller, so that all threads end together: of four they have 4, 3, 2 and 1 tenths.
int share(int n, int part, int parts, int threads, int step = 1) {
  const int each = parts / threads, of_thread = part % each, all = each * (each + 1) / 2;
  const int64_t before = part / each * all + of_thread * each - of_thread * (of_thread - 1) / 2;
  const int64_t steps = (n + step - 1) / step;
  return std::min(n, static_cast<int>(steps * before / (threads * all)) * step);
}

// Asks memory for what a thread reads first of a matrix, which then comes while it computes its input.
void ask_for_start(const Linear& w, int tile, int groups) {
  constexpr size_t kStart = 6144; // as far as the kernel then asks ahead
  const uint8_t* weights = w.weight + tile * w.tile_bytes();
  for (size_t line = 0; line < kStart; line += 64) __builtin_prefetch(weights + line);
  for (const uint16_t* numbers : {w.scales, w.mins})
    if (numbers != nullptr)
      __builtin_prefetch(numbers + static_cast<size_t>(tile) * (has_blocks(w.format) ? w.cols / kBlock : groups) * 16);
  if (w.subscales != nullptr)
    __builtin_prefetch(w.subscales + static_cast<size_t>(tile) * groups * (has_mins(w.format) ? 24 : 16));
}

// Room for n numbers; what stood there is lost where it has to grow.
template <typename Buffer>
void grow(Buffer& buffer, size_t n) {
  if (buffer.size() >= n) return;
  buffer.clear();
  buffer.resize(n);
}

size_t widest_input(const ModelConfig& c) {
  return std::max({c.hidden_size, c.embedding_width(), c.attention_width(), c.intermediate_size});
}

size_t panel_steps(const ModelConfig& c) { return (widest_input(c) + kPanelColumns - 1) / kPanelColumns; }

bool has_16_bits(const Linear& w) { return w.format == WeightFormat::kF16 || w.format == WeightFormat::kBf16; }

// How many bf16 numbers add up to a number of the tokens that meet a panel.
size_t packed_parts(const Model& model) { return any_matrix(model, has_16_bits) ? 2 : 1; }

} // namespace

CpuBackend::CpuBackend(const Model& model, const Kernels& kernels, ActivationType input, CacheKind cache, int threads,
                       bool equal_cores, int capacity)
    : model_(model),
      kernels_(kernels),
      input_(input),
      cache_(cache),
      pool_(threads),
      equal_cores_(equal_cores),
      capacity_(capacity) {
  const int most_parts = std::max(parts_of(1), parts_of(kMaxTokens));
  own_.resize(most_parts);
  for (Input& buffer : own_) reserve_inputs(buffer, 1);
  reserve(kMaxSequenceTokens);
}

std::unique_ptr<KvCache> CpuBackend::new_cache() {
  const ModelConfig& c = model_.config;
  return std::make_unique<CpuKvCache>(c.layers, c.kv_heads, c.head_dim, capacity_, cache_);
}

void CpuBackend::reserve_inputs(Input& buffer, size_t tokens) const {
  const size_t widest = widest_input(model_.config), groups = widest / kSmallestGroup + 1;
  grow(buffer.values, tokens * widest);
  if (has_input_orders(model_)) grow(buffer.ordered, tokens * widest);
  grow(buffer.quantized, tokens * widest * (input_ == ActivationType::kTwoDigits ? 2 : 1));
  grow(buffer.scales, tokens * groups);
  grow(buffer.scaled_sums, tokens * groups);
  grow(buffer.sums, tokens * groups);
}

// Buffers for a pass.
void CpuBackend::reserve(int tokens) {
  const ModelConfig& c = model_.config;
  const size_t n = tokens;
  if (residual_.size() >= n * c.hidden_size) return;
  grow(residual_, n * c.hidden_size);
  grow(step_, n * std::max(c.hidden_size, c.embedding_width()));
  grow(qkv_, n * c.qkv_width());
  grow(attention_, n * c.attention_width());
  grow(hidden_, n * c.intermediate_size);
  const auto apart = [](const Layer& l) { return !l.up_blocks.empty(); };
  if (std::any_of(model_.layers.begin(), model_.layers.end(), apart)) grow(up_, hidden_.size());
  for (std::vector<float>* table : {&cos_, &sin_}) grow(*table, n * c.rope_inv_freq.size());
  for (std::vector<float>* table : {&local_cos_, &local_sin_}) grow(*table, n * c.rope_local_inv_freq.size());
  const size_t at_once = std::min(tokens, kMaxTokens);
  reserve_inputs(shared_, at_once);
  if (any_matrix(model_, [this](const Linear& w) { return has_panels(w); }))
    grow(shared_.packed, packed_parts(model_) * ((at_once + 15) / 16 * 16) * panel_steps(c));
}

// Small parts cost a few percent of a single token, as each prepares the token for itself, and nothing of many.
int CpuBackend::parts_of(int tokens) const {
  const int threads = pool_.threads();
  return threads == 1 || (equal_cores_ && tokens <= 32) ? threads : kPartsPerThread * threads;
}

ActivationType CpuBackend::activation_type(const Linear& w) const {
  return has_16_bits(w) ? ActivationType::kFloat : input_;
}

// Whether many tokens are multiplied as panels. The A16 and A8 precisions promise that decode and prefill give the same numbers;
// an encoder has no decode, and panels of 16-bit weights keep 16 bits of an activation.
bool CpuBackend::has_panels(const Linear& w) const {
  return kernels_.gemm_large_m != nullptr &&
         (input_ == ActivationType::kTwoDigits || (model_.config.encoder && has_16_bits(w)));
}

// How many tokens meet the panels of a matrix together: all its panels meet them in turn, so they should stay in the second level
// of cache, of which CPUs with matrix registers have two megabytes.
int CpuBackend::panel_tokens(const Linear& w) const {
  constexpr int kBytes = 1 << 20, kFewest = 64;
  const int bytes_of_token = 2 * w.cols * (has_16_bits(w) ? 2 : 1);
  return std::clamp(kBytes / bytes_of_token / 32 * 32, kFewest, kMaxTokens);
}

// From the last layer's attention on, a batch has nothing but outputs. Those of an encoder are all its tokens.
CpuBackend::Panels CpuBackend::panels_of(int layer) const {
  return layer + 1 < model_.config.layers || model_.config.encoder ? Panels::kWhereMany : Panels::kNever;
}

void CpuBackend::gemm_tiles(const Linear& w, Tiles tiles, const Activations& x, int tokens, const Output& out) {
  if (x.packed != nullptr)
    return kernels_.gemm_large_m({w, tiles.begin, tiles.end, 1, x.packed, tokens, out, out.behind(16)});
  const ActivationType input = activation_type(w);
  const auto gemm_tile = input == ActivationType::kInt8        ? kernels_.gemm_int8
                         : input == ActivationType::kTwoDigits ? kernels_.gemm_two_digits
                                                               : kernels_.gemm_float;
  for (int tile = tiles.begin; tile < tiles.end; ++tile)
    gemm_tile(w, tile, x, tokens, out.behind(16 * (tile - tiles.begin)));
}

// `out` may be x.
void CpuBackend::norm(const NormVectors& vectors, const float* x, float* out) const {
  const ModelConfig& c = model_.config;
  if (vectors.present()) kernels_.norm(c.norm, x, vectors.weight, vectors.bias, c.norm_eps, c.hidden_size, out);
  else if (out != x) std::copy_n(x, c.hidden_size, out);
}

const float* CpuBackend::norm_row(const NormVectors& vectors, int token, float* out) const {
  norm(vectors, &residual_[static_cast<size_t>(token) * model_.config.hidden_size], out);
  return out;
}

// One GEMM for all sequences of few tokens, so that the weights are read once for all that decode, and one for those of
// many: how a token is multiplied depends on its own sequence alone.
template <typename Prepare, typename Part>
void CpuBackend::gemm(const Linear& w, const ForwardBatch& batch, Panels panels, int tiles, const Prepare& prepare,
                      const Part& part) {
  const bool may = panels == Panels::kWhereMany && has_panels(w);
  GemmTokens next = {0, 0, false};
  const auto gemm_until = [&](int end) {
    const int at_once = next.panels ? panel_tokens(w) : kMaxTokens;
    for (; next.begin < end; next.begin = next.end) {
      next.end = std::min(end, next.begin + at_once);
      gemm_of(w, next, tiles, prepare, part);
    }
  };
  for (const Sequence& sequence : batch.sequences) {
    const bool many = may && sequence.tokens.size() > kFewTokens;
    if (many != next.panels) gemm_until(sequence.tokens.begin);
    next.panels = many;
  }
  gemm_until(batch.num_tokens());
}

template <typename Prepare, typename Part>
void CpuBackend::gemm_of(const Linear& w, const GemmTokens& tokens, int tiles, const Prepare& prepare,
                         const Part& part) {
  const ActivationType input = activation_type(w);
  const bool floats = input == ActivationType::kFloat, digits = input == ActivationType::kTwoDigits;
  const int group = digits && w.format == WeightFormat::kW8Channel ? kChannelDigitGroup : w.group;
  const int groups = floats ? 0 : w.cols / group;
  const bool panels = tokens.panels;
  const size_t row_bytes = static_cast<size_t>(w.cols) * (digits ? 2 : 1);
  const auto fill = [&](Input& buffer, int slot) {
    float* own = &buffer.values[static_cast<size_t>(slot) * w.cols];
    const float* values = prepare(tokens.begin + slot, own);
    if (values != own && (w.input_scale != nullptr || (floats && !panels)))
      values = std::copy_n(values, w.cols, own) - w.cols;
    if (w.input_scale != nullptr) kernels_.scale(own, w.input_scale, w.cols);
    if (w.input_order != nullptr) {
      float* ordered = &buffer.ordered[static_cast<size_t>(slot) * w.cols];
      for (int i = 0; i < w.cols; ++i) ordered[i] = values[static_cast<int>(w.input_order[i])];
      values = ordered;
    }
    const size_t at = static_cast<size_t>(slot) * groups;
    if (panels) (floats ? kernels_.pack_two_bf16 : kernels_.pack_bf16)(values, w.cols, slot, buffer.packed[0].numbers);
    else if (!floats)
      (digits ? kernels_.quantize_two_digits : kernels_.quantize_int8)(
          values, w.cols, group, &buffer.quantized[slot * row_bytes], &buffer.scales[at], &buffer.sums[at],
          &buffer.scaled_sums[at]);
  };
  const auto view = [&](const Input& buffer) {
    return Activations{w.input_order != nullptr ? buffer.ordered.data() : buffer.values.data(),
                       buffer.quantized.data(),
                       buffer.scales.data(),
                       buffer.sums.data(),
                       buffer.scaled_sums.data(),
                       w.cols,
                       groups,
                       panels ? buffer.packed[0].numbers : nullptr};
  };
  const int count = tokens.size(), parts = parts_of(count);
  if (count > 1)
    pool_.run(parts, [&](int number) {
      const int end = share(count, number + 1, parts, pool_.threads());
      for (int slot = share(count, number, parts, pool_.threads()); slot < end; ++slot) fill(shared_, slot);
    });
  const int step = panels ? 2 : 1; // tiles that a kernel computes together
  pool_.run(parts, [&](int number) {
    Input& buffer = count > 1 ? shared_ : own_[number];
    const Tiles mine = {share(tiles, number, parts, pool_.threads(), step),
                        share(tiles, number + 1, parts, pool_.threads(), step)};
    if (count == 1) {
      if (!floats) ask_for_start(w, mine.begin, groups);
      fill(buffer, 0);
    }
    part(mine, view(buffer), tokens);
  });
}

template <typename Prepare>
void CpuBackend::gemm_prepared(const Linear& w, const ForwardBatch& batch, Panels panels, const Prepare& prepare,
                               const Output& out) {
  gemm(w, batch, panels, w.tiles(), prepare, [&](Tiles tiles, const Activations& x, const GemmTokens& tokens) {
    gemm_tiles(w, tiles, x, tokens.size(), out.from(tokens.begin).behind(16 * tiles.begin));
  });
}

void CpuBackend::gemm_all_tokens(const Linear& w, const ForwardBatch& batch, Panels panels, const float* input,
                                 const Output& out) {
  const auto row = [&](int token, float*) { return input + static_cast<size_t>(token) * w.cols; };
  gemm_prepared(w, batch, panels, row, out);
}

void CpuBackend::run_jobs(int count, const std::function<void(int)>& job) {
  if (count == 1) job(0); // another thread would not have its data in its cache
  else if (count > 1) pool_.run(count, job);
}

void CpuBackend::embed(const ForwardBatch& batch) {
  const ModelConfig& c = model_.config;
  const int width = c.embedding_width();
  reserve(batch.num_tokens());
  plan_attention(batch);
  for (int t = 0; t < batch.num_tokens(); ++t) {
    const Position& position = batch.positions[t];
    float* token = &step_[static_cast<size_t>(t) * width];
    if (const float* embedding = batch.embedding(t); embedding != nullptr) {
      std::copy_n(embedding, width, token);
    } else {
      read_row(model_.embedding, batch.tokens[t], token);
      if (c.embedding_scale != 1)
        for (int i = 0; i < width; ++i) token[i] *= c.embedding_scale;
    }
    float* out = &residual_[static_cast<size_t>(t) * c.hidden_size];
    if (model_.positions.present()) read_row(model_.positions, position[0] + c.position_offset, out);
    else std::fill_n(out, c.hidden_size, 0.0f);
    if (!model_.project_in.present())
      for (int i = 0; i < width; ++i) out[i] += token[i];
    // Angles once a token, not once a layer; in float, as the references compute them.
    const auto angles = [&](const std::vector<float>& frequencies, std::vector<float>& cosines,
                            std::vector<float>& sines) {
      const size_t half = frequencies.size();
      for (size_t i = 0; i < half; ++i) {
        const int axis = c.rope_axes.empty() ? 0 : c.rope_axes[i];
        const float angle = static_cast<float>(position[axis]) * frequencies[i];
        cosines[t * half + i] = std::cos(angle) * c.rope_scale;
        sines[t * half + i] = std::sin(angle) * c.rope_scale;
      }
    };
    angles(c.rope_inv_freq, cos_, sin_);
    angles(c.rope_local_inv_freq, local_cos_, local_sin_);
  }
  if (model_.project_in.present())
    gemm_all_tokens(model_.project_in, batch, Panels::kWhereMany, step_.data(),
                    {residual_.data(), static_cast<size_t>(c.hidden_size), true});
}

void CpuBackend::norm_qkv(int layer, const ForwardBatch& batch) {
  const Layer& l = model_.layers[layer];
  Output out = {qkv_.data(), static_cast<size_t>(l.qkv.rows)};
  const auto normed = [&](int token, float* to) { return norm_row(l.attn_norm, token, to); };
  const auto gemm_block = [&](const Linear& w) {
    gemm_prepared(w, batch, Panels::kWhereMany, normed, out);
    out = out.behind(w.rows);
  };
  if (l.qkv_blocks.empty()) gemm_block(l.qkv);
  for (const Linear& w : l.qkv_blocks) gemm_block(w);
}

// Ascending, so that no row is overwritten before it has moved.
void CpuBackend::compact_tokens(const ForwardBatch& batch) {
  const auto compact = [&](Rows& rows, size_t width) {
    for (int i = 0; i < batch.num_outputs(); ++i)
      if (const int token = batch.outputs[i].token; token != i)
        std::copy_n(&rows[token * width], width, &rows[i * width]);
  };
  compact(residual_, model_.config.hidden_size);
  compact(attention_, model_.config.attention_width());
}

// residual = norm?(residual + norm?(W·input))
void CpuBackend::add_to_residual(const Linear& w, const ForwardBatch& batch, Panels panels, const float* input,
                                 const NormVectors& post_norm, const NormVectors& sum_norm) {
  const int hidden = model_.config.hidden_size;
  const bool adds = !post_norm.present();
  gemm_all_tokens(w, batch, panels, input, {(adds ? residual_ : step_).data(), static_cast<size_t>(hidden), adds});
  if (adds && !sum_norm.present()) return;
  for (int t = 0; t < batch.num_tokens(); ++t) {
    float* residual = &residual_[static_cast<size_t>(t) * hidden];
    if (!adds) {
      float* step = &step_[static_cast<size_t>(t) * hidden];
      norm(post_norm, step, step);
      for (int i = 0; i < hidden; ++i) residual[i] += step[i];
    }
    norm(sum_norm, residual, residual);
  }
}

void CpuBackend::attn_out_proj(int layer, const ForwardBatch& batch) {
  const Layer& l = model_.layers[layer];
  add_to_residual(l.o, batch, panels_of(layer), attention_.data(), l.attn_post_norm, l.attn_sum_norm);
}

void CpuBackend::mlp_down_proj(int layer, const ForwardBatch& batch) {
  const Layer& l = model_.layers[layer];
  add_to_residual(l.down, batch, panels_of(layer), hidden_.data(), l.mlp_post_norm, l.mlp_sum_norm);
}

void CpuBackend::add_deepstack(int layer, const ForwardBatch& batch) {
  const int hidden = model_.config.hidden_size, first = model_.config.embedding_width() + layer * hidden;
  for (int t = 0; t < batch.num_tokens(); ++t) {
    const float* row = batch.embedding(t);
    if (row == nullptr) continue;
    float* residual = &residual_[static_cast<size_t>(t) * hidden];
    for (int i = 0; i < hidden; ++i) residual[i] += row[first + i];
  }
}

void CpuBackend::layer_output(int index, const ForwardBatch& batch) {
  const size_t hidden = model_.config.hidden_size;
  for (const OutputRequest& output : batch.outputs)
    if (output.logits != nullptr)
      std::copy_n(&residual_[output.token * hidden], hidden, output.logits + (1 + index) * hidden);
}

void CpuBackend::norm_gate_up(int layer, const ForwardBatch& batch) {
  const ModelConfig& c = model_.config;
  const Layer& l = model_.layers[layer];
  if (!l.up_blocks.empty()) return norm_gate_up_in_blocks(layer, batch);
  const int half = c.intermediate_size / 16; // tiles of the gate, where there is one
  const auto width = static_cast<size_t>(c.intermediate_size);
  gemm(
      l.up, batch, panels_of(layer), half,
      [&](int token, float* out) { return norm_row(l.mlp_norm.present() ? l.mlp_norm : l.attn_norm, token, out); },
      [&](Tiles tiles, const Activations& x, const GemmTokens& tokens) {
        alignas(64) float gate[kMaxTokens * 16], up[kMaxTokens * 16];
        const int count = tokens.size();
        const auto activate_tile = [&](const float* numbers, int tile) {
          kernels_.activate(c.activation, numbers, c.gated ? up : nullptr, count,
                            &hidden_[tokens.begin * width + 16 * tile], width);
        };
        if (x.packed != nullptr) { // pairs of the gate and the rest; where there is no gate, of neighbours
          PanelJob job = {l.up, tiles.begin, tiles.end, c.gated ? half : 1, x.packed, count, {gate, 16}, {up, 16}, 0};
          const auto activate_pair = [&](int tile, int of_pair) {
            activate_tile(gate, tile);
            if (!c.gated && of_pair == 2) activate_tile(up, tile + 1);
          };
          job.call_after_each_pair(activate_pair);
          return kernels_.gemm_large_m(job);
        }
        // A tile of the gate, the same of the rest. For one token many of each: memory is read faster in long stretches.
        const int at_once = count == 1 ? kMaxTokens : 1;
        for (int tile = tiles.begin; tile < tiles.end; tile += at_once) {
          const Tiles some = {tile, std::min(tile + at_once, tiles.end)};
          gemm_tiles(l.up, some, x, count, {gate, 16});
          if (c.gated) gemm_tiles(l.up, {some.begin + half, some.end + half}, x, count, {up, 16});
          if (count > 1) activate_tile(gate, tile);
          else // of one token, its tiles are what tokens are otherwise
            kernels_.activate(c.activation, gate, c.gated ? up : nullptr, some.end - some.begin,
                              &hidden_[tokens.begin * width + 16 * tile], 16);
        }
      });
}

// Gate and up one after the other, as each has a format or an input order of its own.
void CpuBackend::norm_gate_up_in_blocks(int layer, const ForwardBatch& batch) {
  const ModelConfig& c = model_.config;
  const Layer& l = model_.layers[layer];
  const auto width = static_cast<size_t>(c.intermediate_size);
  const NormVectors& vectors = l.mlp_norm.present() ? l.mlp_norm : l.attn_norm;
  const auto normed = [&](int token, float* to) { return norm_row(vectors, token, to); };
  gemm_prepared(l.up_blocks[0], batch, panels_of(layer), normed, {hidden_.data(), width});
  gemm_prepared(l.up_blocks[1], batch, panels_of(layer), normed, {up_.data(), width});
  const int count = batch.num_tokens(), parts = parts_of(count);
  pool_.run(parts, [&](int number) {
    const int begin = share(count, number, parts, pool_.threads()),
              end = share(count, number + 1, parts, pool_.threads());
    float* const gate = hidden_.data() + begin * width;
    kernels_.activate(c.activation, gate, up_.data() + begin * width, static_cast<int>((end - begin) * width / 16),
                      gate, 16);
  });
}

void CpuBackend::norm_head(const ForwardBatch& batch) {
  const ModelConfig& c = model_.config;
  const int width = c.embedding_width();
  const Linear& project = model_.project_out;
  const auto normed = [&](int token, float* out) { return norm_row(model_.final_norm, token, out); };
  if (c.encoder) {
    for (int t = 0; t < batch.num_outputs(); ++t)
      if (float* row = batch.outputs[t].logits; row != nullptr) normed(t, row);
    return;
  }
  if (project.present())
    gemm_prepared(project, batch, Panels::kNever, normed, {step_.data(), static_cast<size_t>(width)});
  std::vector<float*> rows;
  std::vector<std::vector<float>> unwanted; // logits of tokens of which only the hidden states are wanted
  for (const OutputRequest& output : batch.outputs)
    rows.push_back(output.logits != nullptr ? output.logits : unwanted.emplace_back(c.vocab_size).data());
  gemm(
      model_.head, batch, Panels::kNever, model_.head.tiles(),
      [&](int token, float* out) {
        return project.present() ? &step_[static_cast<size_t>(token) * width] : normed(token, out);
      },
      [&](Tiles tiles, const Activations& x, const GemmTokens& tokens) {
        const Output out = {nullptr, 0, false, rows.data()};
        gemm_tiles(model_.head, tiles, x, tokens.size(), out.from(tokens.begin).behind(16 * tiles.begin));
        if (c.logit_softcap <= 0) return;
        for (int t = tokens.begin; t < tokens.end; ++t)
          for (int i = 16 * tiles.begin; i < std::min(16 * tiles.end, c.vocab_size); ++i)
            rows[t][i] = c.logit_softcap * std::tanh(rows[t][i] / c.logit_softcap);
      });
}

void CpuBackend::final_hidden(const ForwardBatch& batch) {
  for (int token = 0; token < batch.num_tokens(); ++token)
    if (float* const out = batch.outputs[token].hidden) norm_row(model_.final_norm, token, out);
}

} // namespace tinychat
