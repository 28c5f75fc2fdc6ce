// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention as its definition says it, in double precision.
#pragma once

#include <cmath>
#include <vector>

struct PlainAttention {
  int heads, kv_heads, dim, half, window;
  double scale, softcap, eps;
  std::vector<float> q_norm, k_norm, frequencies, slopes; // empty: none

  using Row = std::vector<double>;

  Row prepared(const float* x, const std::vector<float>& norm, int position) const {
    Row y(x, x + dim);
    if (!norm.empty()) {
      double squares = 0;
      for (double v : y) squares += v * v;
      for (int d = 0; d < dim; ++d) y[d] *= norm[d] / std::sqrt(squares / dim + eps);
    }
    for (int i = 0; i < half; ++i) {
      const double angle = static_cast<float>(position) * frequencies[i], a = y[i], b = y[i + half];
      y[i] = a * std::cos(angle) - b * std::sin(angle);
      y[i + half] = b * std::cos(angle) + a * std::sin(angle);
    }
    return y;
  }

  // qkv [positions][(heads + 2 kv_heads) * dim] -> the output [heads * dim] at the last position.
  Row last(const std::vector<float>& qkv, int positions) const {
    const int width = (heads + 2 * kv_heads) * dim, position = positions - 1;
    Row out(static_cast<size_t>(heads) * dim);
    for (int h = 0; h < heads; ++h) {
      const int kv_head = h / (heads / kv_heads);
      const Row q = prepared(&qkv[static_cast<size_t>(position) * width + h * dim], q_norm, position);
      double sum = 0;
      for (int p = window > 0 ? std::max(0, positions - window) : 0; p < positions; ++p) {
        const float* key = &qkv[static_cast<size_t>(p) * width + (heads + kv_head) * dim];
        const Row k = prepared(key, k_norm, p);
        double score = 0;
        for (int d = 0; d < dim; ++d) score += q[d] * k[d] * scale;
        if (softcap > 0) score = softcap * std::tanh(score / softcap);
        if (!slopes.empty()) score += slopes[h] * (p - position);
        const double weight = std::exp(score);
        sum += weight;
        for (int d = 0; d < dim; ++d) out[h * dim + d] += weight * key[kv_heads * dim + d];
      }
      for (int d = 0; d < dim; ++d) out[h * dim + d] /= sum;
    }
    return out;
  }
};
