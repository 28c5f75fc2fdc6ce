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
  const float* weight; // [n]; null, in rows that a kernel of their own makes: no norm, everything stays as it is
  const float* bias;   // [n] or null
  float eps;
  Norm kind;
};

// What is to be normed: rows of floats, or a token whose norm a product makes itself.
struct Normed {
  const float* x; // null: nothing
  NormWeights w;
  const float* input_scale; // of the next matrix, or null
};
constexpr int kMostNormed = 8192; // numbers, by a product

// Tokens as bytes, groups of columns of a token sharing a scale.
struct Bytes {
  int8_t* bytes; // [rows][n]
  float* scales; // [rows][n / group]
  int group;     // a multiple of 4: that of the matrix
};

// out = norm(x) of each row of n numbers, a multiple of 4.
void norm(const Queue& queue, const Normed& x, int rows, int n, Number number, uint16_t* out);
void norm_to_bytes(const Queue& queue, const Normed& x, int rows, int n, const Bytes& to);
// residual += norm(step)
void add_normed(const Queue& queue, const Normed& step, int rows, int n, float* residual);
// residual = norm(residual)
void norm_residual(const Queue& queue, const NormWeights& weights, int rows, int n, float* residual);
void to_bytes(const Queue& queue, const uint16_t* x, Number number, int rows, int n, const Bytes& to);

// out[row][j] = x[row][order[j]]
void order(const Queue& queue, const uint16_t* x, int rows, int n, const float* order, uint16_t* out);
// out[row][0 … n) = x[row][0 … n); rows of `out` are `stride` apart.
void place(const Queue& queue, const float* x, int rows, int n, float* out, int stride);

// x = softcap * tanh(x / softcap)
void cap(const Queue& queue, float* x, int count, float softcap);

// What becomes of the feed-forward part's first product.
struct Activated {
  Activation kind;
  bool gated;               // act(first half of the rows) * (second half), whose rows fill whole tiles
  const float* input_scale; // of the next matrix, or null
  uint16_t* out;            // [rows][width]; null: nothing is activated
  Number number;            // of what goes out
};

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

// to.out [rows][n] = act(gate) * rest, both [rows][n]
void activate(const Queue& queue, const float* gate, const float* rest, int rows, int n, const Activated& to);

// Parts in which attend_one() reads a cache of up to `reach` positions: a block a multiprocessor, but none with little to do.
int attention_splits(const Attention& a, int reach, int multiprocessors);
// One token, the cache read in `splits` parts at once.
void attend_one(const Queue& queue, const Attention& a, int splits);
void attend_many(const Queue& queue, const Attention& a, int rows);

// Parts of the vocabulary that choose() needs room for in Choosing::shares.
int choice_shares(int vocab);
void choose(const Queue& queue, const Choosing& choosing);

} // namespace tinychat::cuda
