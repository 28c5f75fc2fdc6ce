// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The kernels that work on one row of one token at a time, as functions of the host: each puts its launches into a queue.
#pragma once

#include "cuda/elementwise/embed.h"
#include "cuda/elementwise/top_k.h"
#include "cuda/primitives/launch.h"
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

// to.out [rows][n] = act(gate) * rest, both [rows][n]
void activate(const Queue& queue, const float* gate, const float* rest, int rows, int n, const Activated& to);

// Parts of the vocabulary that choose() needs room for in Choosing::shares.
int choice_shares(int vocab);
void choose(const Queue& queue, const Choosing& choosing);

} // namespace tinychat::cuda
