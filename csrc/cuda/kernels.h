// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The kernels as functions of the host: each puts its launches into a queue.
#pragma once

#include "cuda/attention.h"
#include "cuda/choice.h"
#include "cuda/embed.h"
#include "cuda/launch.h"
#include "decoder/model.h"

namespace tinychat::cuda {

void embed(const Queue& queue, const Embedding& e, int rows);

struct NormWeights {
  const float* weight; // [n]
  const float* bias;   // [n] or null
  float eps;
  Norm kind;
};

// out = norm(x) of each row of n numbers, times input_scale where that is not null.
void norm(const Queue& queue, const float* x, const NormWeights& w, const float* input_scale, int rows, int n,
          Number number, uint16_t* out);
// residual += norm(step)
void add_normed(const Queue& queue, const float* step, const NormWeights& w, int rows, int n, float* residual);

// out [rows][width] = act(gate) * up of x [rows][gate | up], or act(x) without a gate; times input_scale.
void activate(const Queue& queue, const float* x, const float* input_scale, int rows, int width, Activation kind,
              bool gated, Number number, uint16_t* out);
// x = softcap * tanh(x / softcap)
void cap(const Queue& queue, float* x, int count, float softcap);

// out [rows][w.rows] = x [rows][w.cols] * W^T + bias, or added to what is there.
struct Product {
  Linear w;
  const uint16_t* x;
  Number number;
  int rows;
  float* out;
  bool add;
};
void multiply_half(const Queue& queue, const Product& product);
void multiply_bf16(const Queue& queue, const Product& product);
inline void multiply(const Queue& queue, const Product& product) {
  product.number == Number::kBf16 ? multiply_bf16(queue, product) : multiply_half(queue, product);
}

// Queries of one KV head that a block of attend_one() takes.
int decode_heads(int group);
// One token, the cache read in `splits` parts at once.
void attend_one(const Queue& queue, const Attention& a, int splits);
void attend_many(const Queue& queue, const Attention& a, int rows);

// Parts of the vocabulary that choose() needs room for in Choosing::shares and masses.
int choice_shares(int vocab);
void choose(const Queue& queue, const Choosing& choosing);

} // namespace tinychat::cuda
