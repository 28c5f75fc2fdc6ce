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
  const bool four_bits = w.format == WeightFormat::kW4Zero || w.format == WeightFormat::kW4Min;
  const size_t groups = cols / w.group;
  for (size_t k = 0; k < cols; ++k) {
    const size_t group = tile * groups + k / w.group;
    const float scale = w.format == WeightFormat::kW8Channel ? w.channel_scales[row]
                                                             : half_to_float(w.scales[group * 16 + lane]);
    if (!four_bits) {
      const auto q = static_cast<int8_t>(w.weight[(tile * (cols / 4) + k / 4) * 64 + lane * 4 + k % 4]);
      out[k] = scale * static_cast<float>(q);
      continue;
    }
    const uint8_t pair = w.weight[(tile * (cols / 8) + k / 8) * 64 + lane * 4 + k % 4];
    const int q = k % 8 < 4 ? pair & 15 : pair >> 4;
    if (w.format == WeightFormat::kW4Min) {
      out[k] = scale * static_cast<float>(q) + half_to_float(w.mins[group * 16 + lane]);
    } else {
      const uint8_t zeros = w.zeros == nullptr ? 0x88 : w.zeros[group * 8 + lane % 8];
      out[k] = scale * static_cast<float>(q - (lane < 8 ? zeros & 15 : zeros >> 4));
    }
  }
}

} // namespace tinychat
