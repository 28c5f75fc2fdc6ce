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

// Where a thread's part of n things begins; it ends where the next one's does.
int share(int n, int thread, int threads) { return static_cast<int>(static_cast<int64_t>(n) * thread / threads); }

// Asks memory for what a thread reads first of a matrix, which then comes while it computes its input.
void ask_for_start(const Linear& w, int tile, int groups) {
  constexpr size_t kStart = 6144; // as far as the kernel then asks ahead
  const bool four_bits = w.format == WeightFormat::kW4Zero || w.format == WeightFormat::kW4Min;
  const uint8_t* weights = w.weight + static_cast<size_t>(tile) * w.cols * (four_bits ? 8 : 16);
  for (size_t line = 0; line < kStart; line += 64) __builtin_prefetch(weights + line);
  for (const uint16_t* numbers : {w.scales, w.mins})
    if (numbers != nullptr) __builtin_prefetch(numbers + static_cast<size_t>(tile) * groups * 16);
}

} // namespace

CpuBackend::CpuBackend(const Model& model, const Kernels& kernels, InputKind input, CacheKind cache, int threads,
                       int capacity)
    : model_(model), kernels_(kernels), input_(input), cache_(cache), pool_(threads), capacity_(capacity) {
  const ModelConfig& c = model_.config;
  const size_t rows = kMaxRows;
  residual_.resize(rows * c.hidden_size);
  step_.resize(rows * std::max(c.hidden_size, c.embedding_width()));
  qkv_.resize(rows * c.qkv_width());
  attention_.resize(rows * c.attention_width());
  hidden_.resize(rows * c.intermediate_size);
  const auto apart = [](const Layer& l) { return !l.up_blocks.empty(); };
  if (std::any_of(model_.layers.begin(), model_.layers.end(), apart)) up_.resize(hidden_.size());
  cos_.resize(rows * c.rope_inv_freq.size());
  sin_.resize(cos_.size());
  local_cos_.resize(rows * c.rope_local_inv_freq.size());
  local_sin_.resize(local_cos_.size());

  const size_t widest = std::max({c.hidden_size, c.embedding_width(), c.attention_width(), c.intermediate_size});
  const bool ordered = has_input_orders(model_);
  const auto allocate = [&](Input& buffer, size_t count) {
    buffer.values.resize(count * widest);
    if (ordered) buffer.ordered.resize(count * widest);
    buffer.quantized.resize(count * widest * (input == InputKind::kSixteenBits ? 2 : 1));
    buffer.scales.resize(count * (widest / 32 + 1));
    buffer.scaled_sums.resize(buffer.scales.size());
    buffer.sums.resize(buffer.scales.size());
  };
  allocate(shared_, rows);
  own_.resize(threads);
  if (input == InputKind::kSixteenBits && kernels.multiply_panels != nullptr) {
    const size_t steps = (widest + kPanelColumns - 1) / kPanelColumns;
    shared_.packed.resize(rows * steps);
    panels_.resize(threads);
    for (auto& panel : panels_) panel.resize(2 * 16 * steps);
  }
  for (Input& buffer : own_) allocate(buffer, 1);

  // Decoding: the queries of one KV head. Prefill: those of a few tokens.
  const size_t queries = std::max(c.heads / c.kv_heads, kPrefillQueries);
  scratch_.resize(static_cast<size_t>(c.kv_heads) * threads);
  for (AttentionScratch& s : scratch_) {
    s.accumulators.resize(queries * c.head_dim);
    s.rotated.resize(static_cast<size_t>(c.heads / c.kv_heads) * c.head_dim);
    s.maxima.resize(queries);
    s.sums.resize(queries);
    s.queries.resize(queries);
    s.positions.resize(queries);
    s.slopes.resize(queries);
  }
}

std::unique_ptr<KvCache> CpuBackend::new_cache() {
  const ModelConfig& c = model_.config;
  return std::make_unique<CpuKvCache>(c.layers, c.kv_heads, c.head_dim, capacity_, cache_);
}

InputKind CpuBackend::input_of(const Linear& w) const {
  return w.format == WeightFormat::kF16 || w.format == WeightFormat::kBf16 ? InputKind::kFloat : input_;
}

// Few tokens: reading the weights takes longer than multiplying digits.
bool CpuBackend::takes_panels(const Linear& w, int rows) const {
  return rows > kFewRows && !panels_.empty() && input_of(w) == InputKind::kSixteenBits;
}

void CpuBackend::multiply_tiles(const Linear& w, Tiles tiles, const Activations& x, int rows, const Output& out) {
  if (x.packed != nullptr) {
    for (int tile = tiles.begin; tile < tiles.end; tile += 2) {
      const int both[] = {tile, tile + 1};
      float* to = out.to + 16 * (tile - tiles.begin);
      const Output outs[] = {{to, out.stride, out.add}, {to + 16, out.stride, out.add}};
      kernels_.multiply_panels(w, both, std::min(2, tiles.end - tile), x.packed, rows, outs, x.panel);
    }
    return;
  }
  const InputKind input = input_of(w);
  const auto multiply_tile = input == InputKind::kBytes         ? kernels_.multiply_bytes
                             : input == InputKind::kSixteenBits ? kernels_.multiply_digits
                                                                : kernels_.multiply_float;
  for (int tile = tiles.begin; tile < tiles.end; ++tile)
    multiply_tile(w, tile, x, rows, {out.to + 16 * (tile - tiles.begin), out.stride, out.add});
}

void CpuBackend::multiply_two(const Linear& w, Tiles tiles, int apart, const Activations& x, int rows,
                              const Output& first, const Output& second) {
  if (x.packed != nullptr && tiles.end - tiles.begin == 1) {
    const int both[] = {tiles.begin, tiles.begin + apart};
    const Output outs[] = {first, second};
    kernels_.multiply_panels(w, both, 2, x.packed, rows, outs, x.panel);
    return;
  }
  multiply_tiles(w, tiles, x, rows, first);
  multiply_tiles(w, {tiles.begin + apart, tiles.end + apart}, x, rows, second);
}

// `out` may be x.
void CpuBackend::norm(const NormVectors& vectors, const float* x, float* out) const {
  const ModelConfig& c = model_.config;
  if (vectors.present()) kernels_.norm(c.norm, x, vectors.weight, vectors.bias, c.norm_eps, c.hidden_size, out);
  else if (out != x) std::copy_n(x, c.hidden_size, out);
}

const float* CpuBackend::norm_row(const NormVectors& vectors, int row, float* out) const {
  norm(vectors, &residual_[static_cast<size_t>(row) * model_.config.hidden_size], out);
  return out;
}

template <typename Prepare, typename Part>
void CpuBackend::multiply(const Linear& w, int rows, int tiles, const Prepare& prepare, const Part& part) {
  const InputKind input = input_of(w);
  const bool floats = input == InputKind::kFloat, digits = input == InputKind::kSixteenBits;
  const int group = digits && w.format == WeightFormat::kW8Channel ? kChannelDigitGroup : w.group;
  const int groups = floats ? 0 : w.cols / group;
  const bool panels = takes_panels(w, rows);
  const size_t row_bytes = static_cast<size_t>(w.cols) * (digits ? 2 : 1);
  const auto fill = [&](Input& buffer, int slot, int row) {
    float* own = &buffer.values[static_cast<size_t>(slot) * w.cols];
    const float* values = prepare(row, own);
    if (values != own && (w.input_scale != nullptr || floats)) values = std::copy_n(values, w.cols, own) - w.cols;
    if (w.input_scale != nullptr) kernels_.scale(own, w.input_scale, w.cols);
    if (w.input_order != nullptr) {
      float* ordered = &buffer.ordered[static_cast<size_t>(slot) * w.cols];
      for (int i = 0; i < w.cols; ++i) ordered[i] = values[static_cast<int>(w.input_order[i])];
      values = ordered;
    }
    const size_t at = static_cast<size_t>(slot) * groups;
    if (panels) kernels_.pack_bf16(values, w.cols, slot, buffer.packed[0].numbers);
    else if (!floats)
      (digits ? kernels_.quantize_digits : kernels_.quantize_bytes)(
          values, w.cols, group, &buffer.quantized[slot * row_bytes], &buffer.scales[at], &buffer.sums[at],
          &buffer.scaled_sums[at]);
  };
  const auto view = [&](const Input& buffer, int thread) {
    return Activations{w.input_order != nullptr ? buffer.ordered.data() : buffer.values.data(),
                       buffer.quantized.data(),
                       buffer.scales.data(),
                       buffer.sums.data(),
                       buffer.scaled_sums.data(),
                       w.cols,
                       groups,
                       panels ? buffer.packed[0].numbers : nullptr,
                       panels ? panels_[thread][0].numbers : nullptr};
  };
  const int threads = pool_.threads();
  if (rows > 1)
    pool_.run([&](int thread) {
      const int end = share(rows, thread + 1, threads);
      for (int row = share(rows, thread, threads); row < end; ++row) fill(shared_, row, row);
    });
  pool_.run([&](int thread) {
    Input& buffer = rows > 1 ? shared_ : own_[thread];
    const Tiles mine = {share(tiles, thread, threads), share(tiles, thread + 1, threads)};
    if (rows == 1) {
      if (!floats) ask_for_start(w, mine.begin, groups);
      fill(buffer, 0, 0);
    }
    part(mine, view(buffer, thread));
  });
}

// out = W·input, row by row
void CpuBackend::multiply_rows(const Linear& w, int rows, const float* input, const Output& out) {
  multiply(
      w, rows, w.tiles(), [&](int row, float*) { return input + static_cast<size_t>(row) * w.cols; },
      [&](Tiles tiles, const Activations& x) {
        multiply_tiles(w, tiles, x, rows, {out.to + 16 * tiles.begin, out.stride, out.add});
      });
}

void CpuBackend::embed(const int32_t* tokens, int rows, int position) {
  const ModelConfig& c = model_.config;
  const int width = c.embedding_width();
  rows_ = rows;
  position_ = position;
  for (int r = 0; r < rows; ++r) {
    float* token = &step_[static_cast<size_t>(r) * width];
    read_row(model_.embedding, tokens[r], token);
    if (c.embedding_scale != 1)
      for (int i = 0; i < width; ++i) token[i] *= c.embedding_scale;
    float* out = &residual_[static_cast<size_t>(r) * c.hidden_size];
    if (model_.positions.present()) read_row(model_.positions, position + r + c.position_offset, out);
    else std::fill_n(out, c.hidden_size, 0.0f);
    if (!model_.project_in.present())
      for (int i = 0; i < width; ++i) out[i] += token[i];
    // Angles once a token, not once a layer; in float, as the references compute them.
    const auto angles = [&](const std::vector<float>& frequencies, std::vector<float>& cosines,
                            std::vector<float>& sines) {
      const size_t half = frequencies.size();
      for (size_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(position + r) * frequencies[i];
        cosines[r * half + i] = std::cos(angle) * c.rope_scale;
        sines[r * half + i] = std::sin(angle) * c.rope_scale;
      }
    };
    angles(c.rope_inv_freq, cos_, sin_);
    angles(c.rope_local_inv_freq, local_cos_, local_sin_);
  }
  if (model_.project_in.present())
    multiply_rows(model_.project_in, rows, step_.data(), {residual_.data(), static_cast<size_t>(c.hidden_size), true});
}

void CpuBackend::norm_qkv(int layer) {
  const Layer& l = model_.layers[layer];
  float* out = qkv_.data();
  const auto multiply_block = [&](const Linear& w) {
    multiply(
        w, rows_, w.tiles(), [&](int row, float* to) { return norm_row(l.attn_norm, row, to); },
        [&](Tiles tiles, const Activations& x) {
          multiply_tiles(w, tiles, x, rows_, {out + 16 * tiles.begin, static_cast<size_t>(l.qkv.rows)});
        });
    out += w.rows;
  };
  if (l.qkv_blocks.empty()) multiply_block(l.qkv);
  for (const Linear& w : l.qkv_blocks) multiply_block(w);
}

// residual = norm?(residual + norm?(W·input))
void CpuBackend::add_to_residual(const Linear& w, const float* input, const NormVectors& post_norm,
                                 const NormVectors& sum_norm) {
  const int hidden = model_.config.hidden_size;
  const bool adds = !post_norm.present();
  multiply_rows(w, rows_, input, {(adds ? residual_ : step_).data(), static_cast<size_t>(hidden), adds});
  if (adds && !sum_norm.present()) return;
  for (int r = 0; r < rows_; ++r) {
    float* residual = &residual_[static_cast<size_t>(r) * hidden];
    if (!adds) {
      float* step = &step_[static_cast<size_t>(r) * hidden];
      norm(post_norm, step, step);
      for (int i = 0; i < hidden; ++i) residual[i] += step[i];
    }
    norm(sum_norm, residual, residual);
  }
}

void CpuBackend::output(int layer) {
  const Layer& l = model_.layers[layer];
  add_to_residual(l.o, attention_.data(), l.attn_post_norm, l.attn_sum_norm);
}

void CpuBackend::down(int layer) {
  const Layer& l = model_.layers[layer];
  add_to_residual(l.down, hidden_.data(), l.mlp_post_norm, l.mlp_sum_norm);
}

void CpuBackend::norm_up(int layer) {
  const ModelConfig& c = model_.config;
  const Layer& l = model_.layers[layer];
  if (!l.up_blocks.empty()) return norm_up_in_blocks(layer);
  const int half = c.intermediate_size / 16; // tiles of the gate, where there is one
  // A tile of the gate, the same of the rest. For one token many of each: memory is read faster in long stretches.
  const int at_once = rows_ == 1 ? kMaxRows : 1;
  multiply(
      l.up, rows_, half,
      [&](int row, float* out) { return norm_row(l.mlp_norm.present() ? l.mlp_norm : l.attn_norm, row, out); },
      [&](Tiles tiles, const Activations& x) {
        alignas(64) float gate[kMaxRows * 16], up[kMaxRows * 16];
        for (int tile = tiles.begin; tile < tiles.end; tile += at_once) {
          const Tiles some = {tile, std::min(tile + at_once, tiles.end)};
          if (c.gated) multiply_two(l.up, some, half, x, rows_, {gate, 16}, {up, 16});
          else multiply_tiles(l.up, some, x, rows_, {gate, 16});
          // Of one token, its tiles are what rows are otherwise.
          const size_t stride = rows_ == 1 ? 16 : c.intermediate_size;
          kernels_.activate(c.activation, gate, c.gated ? up : nullptr, rows_ == 1 ? some.end - some.begin : rows_,
                            &hidden_[16 * tile], stride);
        }
      });
}

// Gate and up one after the other, as each takes its input in an order of its own.
void CpuBackend::norm_up_in_blocks(int layer) {
  const ModelConfig& c = model_.config;
  const Layer& l = model_.layers[layer];
  const auto width = static_cast<size_t>(c.intermediate_size);
  for (int i = 0; i < 2; ++i) {
    const Linear& w = l.up_blocks[i];
    float* to = i == 0 ? hidden_.data() : up_.data();
    multiply(
        w, rows_, w.tiles(),
        [&](int row, float* out) { return norm_row(l.mlp_norm.present() ? l.mlp_norm : l.attn_norm, row, out); },
        [&](Tiles tiles, const Activations& x) { multiply_tiles(w, tiles, x, rows_, {to + 16 * tiles.begin, width}); });
  }
  kernels_.activate(c.activation, hidden_.data(), up_.data(), static_cast<int>(rows_ * width / 16), hidden_.data(), 16);
}

void CpuBackend::norm_head(float* logits) {
  const ModelConfig& c = model_.config;
  const int width = c.embedding_width();
  const Linear& project = model_.project_out;
  const auto normed = [&](int row, float* out) { return norm_row(model_.final_norm, row, out); };
  if (project.present())
    multiply(project, rows_, project.tiles(), normed, [&](Tiles tiles, const Activations& x) {
      multiply_tiles(project, tiles, x, rows_, {&step_[16 * tiles.begin], static_cast<size_t>(width)});
    });
  multiply(
      model_.head, rows_, model_.head.tiles(),
      [&](int row, float* out) {
        return project.present() ? &step_[static_cast<size_t>(row) * width] : normed(row, out);
      },
      [&](Tiles tiles, const Activations& x) {
        const auto stride = static_cast<size_t>(c.vocab_size);
        multiply_tiles(model_.head, tiles, x, rows_, {logits + 16 * tiles.begin, stride});
        if (c.logit_softcap <= 0) return;
        for (int r = 0; r < rows_; ++r)
          for (int i = 16 * tiles.begin; i < std::min(16 * tiles.end, c.vocab_size); ++i) {
            float& logit = logits[r * stride + i];
            logit = c.logit_softcap * std::tanh(logit / c.logit_softcap);
          }
      });
}

} // namespace tinychat
