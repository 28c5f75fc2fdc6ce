// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Matrix products as functions of the host: each puts its launches into a queue.
#pragma once

#include "cuda/elementwise/elementwise.h"
#include "cuda/primitives/launch.h"
#include "decoder/model.h"

namespace tinychat::cuda {

constexpr int kMostNormed = 8192; // numbers, by a product

// out [rows][w.rows] = x [rows][w.cols] * W^T + bias, or added to what is there; or `activated` of it.
struct Product {
  Linear w;
  const void* x; // of 16 bits or, where `number` says so, bytes
  Number number;
  int rows;
  float* out;
  bool add;
  Activated activated = {};
  Normed normed = {};              // of one token, instead of x
  const float* x_scales = nullptr; // of bytes: [rows][w.cols / w.group]
};
// Whether a product of one token can make its norm, if it has one: with scales of groups of 64 no registers are left for it.
inline bool makes_norm(const Linear& w, Number number) {
  return w.cols <= kMostNormed && !(w.format == WeightFormat::kW4Zero && w.group == 64) &&
         (number == Number::kHalf || w.format == WeightFormat::kBf16);
}
void multiply_half(const Queue& queue, const Product& product);
void multiply_bf16(const Queue& queue, const Product& product);
void multiply_bytes(const Queue& queue, const Product& product); // weights of 8 bits
inline void multiply(const Queue& queue, const Product& product) {
  switch (product.number) {
    case Number::kHalf: return multiply_half(queue, product);
    case Number::kBf16: return multiply_bf16(queue, product);
    case Number::kBytes: return multiply_bytes(queue, product);
  }
}

} // namespace tinychat::cuda
