// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention as its definition says it, in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/half.h"

// What a cache of bytes makes of numbers that share a scale, as the CPU's store_bytes() does it.
struct PlainBytes {
  uint16_t scale;
  std::vector<int> bytes;

  template <typename DType>
  PlainBytes(const DType* x, int count) {
    float max_score = 0;
    for (int i = 0; i < count; ++i) max_score = std::max(max_score, std::fabs(static_cast<float>(x[i])));
    scale = tinychat::float_to_half(max_score / 127);
    const float inverse = 1 / tinychat::half_to_float(scale);
    for (int i = 0; i < count; ++i) {
      const float q = std::nearbyint(static_cast<float>(x[i]) * inverse);
      bytes.push_back(static_cast<int>(std::max(-127.0f, std::min(127.0f, q))));
    }
  }
  double at(int i) const { return static_cast<double>(tinychat::half_to_float(scale)) * bytes[i]; }
};

struct PlainAttention {
  int heads, kv_heads, dim, half, window;
  double scale, softcap, eps;
  std::vector<float> q_norm, k_norm, frequencies, slopes; // empty: none
  int key_group = 0;                                      // channels that share a scale in a cache of bytes; 0: floats

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

  Row as_cached(const Row& x, int group) const {
    if (key_group == 0) return x;
    Row y;
    for (int begin = 0; begin < dim; begin += group) {
      const PlainBytes bytes(&x[begin], std::min(group, dim - begin));
      for (size_t i = 0; i < bytes.bytes.size(); ++i) y.push_back(bytes.at(static_cast<int>(i)));
    }
    return y;
  }

  // The slots that a causal token sees.
  int first_visible(int slot) const { return window > 0 ? std::max(0, slot + 1 - window) : 0; }

  // qkv [slots][(heads + 2 kv_heads) * dim] -> the output [heads * dim] of the query at `slot`, which sees [begin, end).
  // Positions are slots.
  Row output(const std::vector<float>& qkv, int slot, int begin, int end) const {
    const int width = (heads + 2 * kv_heads) * dim;
    Row out(static_cast<size_t>(heads) * dim);
    for (int h = 0; h < heads; ++h) {
      const int kv_head = h / (heads / kv_heads);
      const Row q = prepared(&qkv[static_cast<size_t>(slot) * width + h * dim], q_norm, slot);
      double sum = 0;
      for (int p = begin; p < end; ++p) {
        const float* key = &qkv[static_cast<size_t>(p) * width + (heads + kv_head) * dim];
        const Row k = as_cached(prepared(key, k_norm, p), key_group);
        const Row v = as_cached(Row(key + kv_heads * dim, key + (kv_heads + 1) * dim), dim);
        double score = 0;
        for (int d = 0; d < dim; ++d) score += q[d] * k[d] * scale;
        if (softcap > 0) score = softcap * std::tanh(score / softcap);
        if (!slopes.empty()) score -= slopes[h] * std::abs(p - slot);
        const double weight = std::exp(score);
        sum += weight;
        for (int d = 0; d < dim; ++d) out[h * dim + d] += weight * v[d];
      }
      for (int d = 0; d < dim; ++d) out[h * dim + d] /= sum;
    }
    return out;
  }
};
