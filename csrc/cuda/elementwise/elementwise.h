// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Host functions of the kernels that work on one token's row at a time: each enqueues its launches.
#pragma once

#include "cuda/elementwise/embed.h"
#include "cuda/elementwise/top_k.h"
#include "cuda/primitives/launch.h"
#include "decoder/model.h"

namespace tinychat::cuda {

void embed(const LaunchContext& context, const Embedding& e, int num_tokens);
void add_deepstack(const LaunchContext& context, const Deepstack& d, int num_tokens);

struct NormWeights {
  const float* weight; // [n]; null: no norm, numbers stay as they are (not in a GEMV that fuses the norm)
  const float* bias;   // [n] or null
  float eps;
  Norm kind;
};

// The input of a norm.
struct Normed {
  const float* x; // [num_tokens][n]; null: no norm
  NormWeights w;
  const float* input_scale; // of the next matrix, or null
};

// Tokens quantized to int8; `group` numbers of a token share a scale.
struct Int8Activations {
  int8_t* values; // [num_tokens][n]
  float* scales;  // [num_tokens][n / group]
  int group;      // a multiple of 4: that of the matrix
};

// out = norm(x) for each token of n numbers, a multiple of 4.
void norm(const LaunchContext& context, const Normed& x, int num_tokens, int n, DType dtype, uint16_t* out);
void norm_to_int8(const LaunchContext& context, const Normed& x, int num_tokens, int n, const Int8Activations& to);
// residual += norm(branch)
void add_normed(const LaunchContext& context, const Normed& branch, int num_tokens, int n, float* residual);
// residual = norm(residual)
void norm_residual(const LaunchContext& context, const NormWeights& weights, int num_tokens, int n, float* residual);
void quantize_int8(const LaunchContext& context, const uint16_t* x, DType dtype, int num_tokens, int n,
                   const Int8Activations& to);

// out[row][j] = x[row][order[j]]
void reorder(const LaunchContext& context, const uint16_t* x, int num_tokens, int n, const float* order, uint16_t* out);
// out[row][0 … n) = x[row][0 … n); rows of `out` are `stride` apart.
void scatter(const LaunchContext& context, const float* x, int num_tokens, int n, float* out, int stride);

// x = softcap * tanh(x / softcap)
void softcap_logits(const LaunchContext& context, float* x, int count, float softcap);

// The activation of the MLP's first GEMM.
struct Activated {
  Activation kind;
  bool gated;               // act(first half of the out_features) * second half; each fills whole tiles
  const float* input_scale; // of the next matrix, or null
  uint16_t* out;            // [num_tokens][width]; null: no activation
  DType dtype;              // of `out`
};

// to.out [num_tokens][n] = act(gate) * up, both [num_tokens][n]
void activate(const LaunchContext& context, const float* gate, const float* up, int num_tokens, int n,
              const Activated& to);

// Rows of tokens with outputs become rows 0 … num_outputs - 1: of the residual [num_tokens][hidden], and of what attention
// found [num_tokens][width].
void compact_tokens(const LaunchContext& context, const OutputParams* outputs, int num_outputs, float* residual,
                    int hidden, uint16_t* attention, int width);

// Partial lists of an output that top_k() needs room for in TopKArgs::partial_top_k.
int top_k_partials(int vocab);
void top_k(const LaunchContext& context, const TopKArgs& args, int num_outputs);

} // namespace tinychat::cuda
