// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cpu/embedding.h"

#include "cpu/half.h"

namespace tinychat {

void read_row(const Linear& w, int row, float* out) {
  const size_t tile = row / 16, lane = row % 16, cols = w.cols;
  if (w.format == WeightFormat::kF16 || w.format == WeightFormat::kBf16) {
    const uint16_t* line = reinterpret_cast<const uint16_t*>(w.weight) + tile * cols * 16 + lane;
    for (size_t k = 0; k < cols; ++k)
      out[k] = w.format == WeightFormat::kF16 ? half_to_float(line[16 * k]) : bf16_to_float(line[16 * k]);
    return;
  }
  const int bits = bits_of(w.format);
  const size_t groups = cols / w.group, piece = bits == 6 ? 16 : 32; // columns whose remaining bits are in one line
  const uint8_t* const weights = w.weight + tile * w.tile_bytes() + lane * 4;
  for (size_t k = 0; k < cols; ++k) {
    const size_t group = tile * groups + k / w.group;
    int q = 0;
    if (bits == 8) {
      q = static_cast<int8_t>(weights[k / 4 * 64 + k % 4]);
    } else {
      const uint8_t* const lines = weights + k / piece * piece * 2 * bits;
      const int high_bits = bits - 4, step = static_cast<int>(k % piece / 4);
      q = lines[step / 2 * 64 + k % 4] >> 4 * (step % 2) & 15;
      if (bits > 4) q |= (lines[piece * 8 + k % 4] >> high_bits * step & ((1 << high_bits) - 1)) << 4;
    }
    if (w.format == WeightFormat::kW8Channel) {
      out[k] = w.channel_scales[row] * static_cast<float>(q);
      continue;
    }
    const size_t at = (has_blocks(w.format) ? tile * (cols / kBlock) + k / kBlock : group) * 16 + lane;
    const float scale = half_to_float(w.scales[at]);
    if (w.format == WeightFormat::kW6K) {
      out[k] = scale * static_cast<float>(static_cast<int8_t>(w.subscales[group * 16 + lane]) * (q - 32));
    } else if (has_blocks(w.format)) {
      const uint8_t* const pairs = w.subscales + group * 24;
      const int low = pairs[lane], high = pairs[16 + lane % 8] >> (lane < 8 ? 0 : 4);
      const int s = (low & 15) | (high & 3) << 4, m = low >> 4 | (high & 12) << 2;
      out[k] = scale * static_cast<float>(s * q) - half_to_float(w.mins[at]) * static_cast<float>(m);
    } else if (has_mins(w.format)) {
      out[k] = scale * static_cast<float>(q) + half_to_float(w.mins[at]);
    } else {
      int zero = center_of(w.format);
      if (w.format == WeightFormat::kW4Zero && w.zeros != nullptr)
        zero = w.zeros[group * 8 + lane % 8] >> (lane < 8 ? 0 : 4) & 15;
      out[k] = scale * static_cast<float>(q - zero);
    }
  }
}

} // namespace tinychat
