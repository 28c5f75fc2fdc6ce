// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Many tokens in bf16, for instruction sets with matrix registers (AMX): the weights of two tiles become a panel of bf16
// pairs, and all tokens meet it. Each product is of bf16 and each sum of floats, over all columns: no scale stands between.
//
// Three costs shape the loops (measured on a Xeon): a product of tiles takes 16 cycles; a tile comes from the second level of
// cache in 28, so the operands should be in the first; and the vector units take 100 to dequantize a tile's 32 columns. So a
// panel has only as many columns as fit the first level beside the tokens' own, and while the matrix unit multiplies
// one panel, the vector units make the next.
#pragma once

#include "cpu/panel_steps.inl"

#if defined(TINYCHAT_TILES)

namespace {

using tinychat::kMostTokens;
using tinychat::PanelJob;

// A job whose weights have one format.
template <WeightFormat kFormat>
class PanelGemm {
 public:
  explicit PanelGemm(const PanelJob& job)
      : job_(job),
        steps_((job.w.cols + kPanelColumns - 1) / kPanelColumns),
        panels_a_pair_((steps_ + kMostSteps - 1) / kMostSteps),
        tiles_a_pair_(job.apart == 1 ? 2 : 1) {}

  void run() {
    const int pairs = (job_.end - job_.begin + tiles_a_pair_ - 1) / tiles_a_pair_, count = pairs * panels_a_pair_;
    Panel panel = panel_of(0);
    for (int part = 0; part < panel.num_parts(); ++part) make_part(panel, part, panels_[0]);
    for (int i = 0; i < count; ++i) {
      const Panel next = i + 1 < count ? panel_of(i + 1) : Panel{};
      if (panel.count == 2) multiply<2>(panel, panels_[i % 2], next, panels_[(i + 1) % 2]);
      else multiply<1>(panel, panels_[i % 2], next, panels_[(i + 1) % 2]);
      if (panel.end == steps_ && job_.done != nullptr) job_.done(job_.context, panel.tile, panel.count);
      panel = next;
    }
  }

 private:
  static constexpr int kParts = activation_parts(kFormat), kWeightParts = weight_parts(kFormat);
  static constexpr int kMostSteps = kParts == 1 ? 9 : 4; // of a panel

  // Some columns of a pair of tiles, or of a tile alone.
  struct Panel {
    int tile = 0, count = 0; // the first, and how many
    int begin = 0, end = 0;  // steps

    int num_parts() const { return (end - begin) * count; }
  };
  // Where the sums of a block of tokens are while they are not in the matrix registers.
  struct Sums {
    float* tiles[2];
    size_t stride;
  };

  Panel panel_of(int index) const {
    const int tile = job_.begin + index / panels_a_pair_ * tiles_a_pair_, part = index % panels_a_pair_;
    return {tile, job_.apart == 1 && tile + 1 == job_.end ? 1 : 2, steps_ * part / panels_a_pair_,
            steps_ * (part + 1) / panels_a_pair_};
  }
  int tile_of(const Panel& panel, int t) const { return panel.tile + t * job_.apart; }
  Output output_of(const Panel& panel, int t) const {
    return (t == 0 ? job_.first : job_.second).behind(static_cast<size_t>(panel.tile - job_.begin) * job_.advance);
  }

  // A part is a step of a tile.
  __attribute__((always_inline)) void make_part(const Panel& panel, int part, uint16_t* to) const {
    const int step = panel.count == 2 ? part / 2 : part, t = panel.count == 2 ? part % 2 : 0;
    to += (static_cast<size_t>(step) * kWeightParts * panel.count + t) * kStepNumbers;
    panel_step<kFormat>(job_.w, tile_of(panel, t), panel.begin + step, to, to + panel.count * kStepNumbers);
  }

  // All tokens times a panel; meanwhile the next one is made.
  template <int kTiles>
  void multiply(const Panel& panel, const uint16_t* weights, const Panel& next, uint16_t* next_weights) {
    const int turns = (job_.num_tokens + 31) / 32 * (panel.end - panel.begin);
    int turn = 0, made = 0;
    const auto make_next = [&] {
      for (++turn; made * turns < next.num_parts() * turn; ++made) make_part(next, made, next_weights);
    };
    for (int first = 0; first < job_.num_tokens; first += 32) {
      if (job_.num_tokens - first > 16) multiply_block<2, kTiles>(panel, weights, first, make_next);
      else multiply_block<1, kTiles>(panel, weights, first, make_next);
    }
  }

  template <int kTokens, int kTiles, typename MakeNext>
  void multiply_block(const Panel& panel, const uint16_t* weights, int first, const MakeNext& make_next) {
    const size_t token_stride = static_cast<size_t>(steps_) * kParts * kStepNumbers;
    const uint16_t* tokens = job_.x + first / 16 * token_stride +
                             static_cast<size_t>(panel.begin) * kParts * kStepNumbers;
    const bool alone = job_.num_tokens <= 32; // then its sums stay in the registers from panel to panel
    const bool whole = job_.num_tokens - first >= 16 * kTokens && job_.w.rows >= 16 * (tile_of(panel, kTiles - 1) + 1);
    const bool begins = panel.begin == 0, ends = panel.end == steps_;
    const Sums between = {{sums_ + first * 32, sums_ + first * 32 + 16}, 32};
    Sums outside = between;
    if (whole) outside = {{output_of(panel, 0).at(first), output_of(panel, 1).at(first)}, job_.first.stride};
    if (begins && !job_.first.add) {
      unit_.template clear<kTokens, kTiles>();
    } else if (begins || !alone) {
      if (begins && !whole) copy_in(panel, first, kTokens, kTiles);
      const Sums& sums = begins ? outside : between;
      unit_.template load<kTokens, kTiles>(sums.tiles[0], sums.tiles[1], sums.stride);
    }
    for (int step = panel.begin; step < panel.end; ++step) {
      unit_.template add<kTokens, kTiles>(tokens, token_stride, weights, kStepNumbers, 64);
      if (kParts == 2)
        unit_.template add<kTokens, kTiles>(tokens + kStepNumbers, token_stride, weights, kStepNumbers, 64);
      // The product of both second parts is below the second parts' own rounding.
      if (kWeightParts == 2)
        unit_.template add<kTokens, kTiles>(tokens, token_stride, weights + kTiles * kStepNumbers, kStepNumbers, 64);
      tokens += kParts * kStepNumbers;
      weights += kWeightParts * kTiles * kStepNumbers;
      make_next();
    }
    if (!ends && alone) return;
    const Sums& sums = ends ? outside : between;
    unit_.template store<kTokens, kTiles>(sums.tiles[0], sums.tiles[1], sums.stride);
    if (ends && (!whole || job_.w.bias != nullptr)) finish(panel, first, kTokens, kTiles, whole);
  }

  int rows_of_block(int first, int tokens) const {
    return job_.num_tokens - first < tokens * 16 ? job_.num_tokens - first : tokens * 16;
  }

  // What the sums of a block that is not whole are added to.
  void copy_in(const Panel& panel, int first, int tokens, int tiles) {
    for (int t = 0; t < tiles; ++t) {
      const int left = job_.w.rows - 16 * tile_of(panel, t);
      for (int r = first; r < first + rows_of_block(first, tokens); ++r)
        __builtin_memcpy(sums_ + r * 32 + 16 * t, output_of(panel, t).at(r), (left < 16 ? left : 16) * sizeof(float));
    }
  }

  // Adds the bias; sums of a block that is not whole move to their destination.
  void finish(const Panel& panel, int first, int tokens, int tiles, bool whole) {
    for (int t = 0; t < tiles; ++t) {
      Output out = output_of(panel, t);
      out.add = whole;
      for (int r = first; r < first + rows_of_block(first, tokens); ++r)
        put(job_.w, tile_of(panel, t), whole ? broadcast(0.0f) : load(sums_ + r * 32 + 16 * t), out, r);
    }
  }

  const PanelJob& job_;
  const int steps_, panels_a_pair_, tiles_a_pair_;
  PairTiles unit_;
  alignas(64) uint16_t panels_[2][kMostSteps * kWeightParts * 2 * kStepNumbers];
  alignas(64) float sums_[kMostTokens * 32]; // between two panels, and of blocks that are not whole
};

void gemm_large_m(const PanelJob& job) {
  switch (job.w.format) {
    case WeightFormat::kW4Zero: return PanelGemm<WeightFormat::kW4Zero>(job).run();
    case WeightFormat::kW4Min: return PanelGemm<WeightFormat::kW4Min>(job).run();
    case WeightFormat::kW4K: return PanelGemm<WeightFormat::kW4K>(job).run();
    case WeightFormat::kW5Zero:
    case WeightFormat::kW5Min:
    case WeightFormat::kW5K: return PanelGemm<WeightFormat::kW5K>(job).run(); // they share kernels
    case WeightFormat::kW6K: return PanelGemm<WeightFormat::kW6K>(job).run();
    case WeightFormat::kW8Group: return PanelGemm<WeightFormat::kW8Group>(job).run();
    case WeightFormat::kF16: return PanelGemm<WeightFormat::kF16>(job).run();
    case WeightFormat::kBf16: return PanelGemm<WeightFormat::kBf16>(job).run();
    default: return PanelGemm<WeightFormat::kW8Channel>(job).run();
  }
}

} // namespace
#endif
