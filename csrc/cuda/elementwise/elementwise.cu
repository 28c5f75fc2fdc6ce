// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Launches of the small kernels: embedding, norms, quantization, compaction, top-k.

#include <algorithm>

#include "cuda/elementwise/compact.cuh"
#include "cuda/elementwise/elementwise.h"
#include "cuda/elementwise/embed.cuh"
#include "cuda/elementwise/input_order.cuh"
#include "cuda/elementwise/norm_kernels.cuh"
#include "cuda/elementwise/softcap.cuh"
#include "cuda/elementwise/top_k.cuh"

namespace tinychat::cuda {

void embed(const LaunchContext& context, const Embedding& e, int num_tokens) {
  launch(context, embed_tokens, dim3(num_tokens), kEmbedThreads, e);
}

void add_deepstack(const LaunchContext& context, const Deepstack& d, int num_tokens) {
  launch(context, add_deepstack_rows, dim3(num_tokens), kEmbedThreads, d);
}

// Threads for rows of n numbers: whole warps, none without work.
static int row_threads(int n) { return std::min(kRowThreads, ceil_div(ceil_div(n, 4), kWarp) * kWarp); }

void norm(const LaunchContext& context, const Normed& x, int num_tokens, int n, DType dtype, uint16_t* out) {
  launch(context, norm_rows, dim3(num_tokens), row_threads(n), x, n, dtype, out);
}

void add_normed(const LaunchContext& context, const Normed& branch, int num_tokens, int n, float* residual) {
  launch(context, add_norm_rows, dim3(num_tokens), row_threads(n), branch, n, residual);
}

void norm_residual(const LaunchContext& context, const NormWeights& weights, int num_tokens, int n, float* residual) {
  launch(context, norm_residual_rows, dim3(num_tokens), row_threads(n), weights, n, residual);
}

void norm_to_int8(const LaunchContext& context, const Normed& x, int num_tokens, int n, const Int8Activations& to) {
  launch(context, norm_rows_to_int8, dim3(num_tokens), row_threads(n), x, n, to);
}

void quantize_int8(const LaunchContext& context, const uint16_t* x, DType dtype, int num_tokens, int n,
                   const Int8Activations& to) {
  launch(context, quantize_rows, dim3(num_tokens), row_threads(n), x, n, dtype, to);
}

void reorder(const LaunchContext& context, const uint16_t* x, int num_tokens, int n, const float* order,
             uint16_t* out) {
  launch(context, reorder_rows, dim3(num_tokens), kOrderThreads, x, n, order, out);
}

void scatter(const LaunchContext& context, const float* x, int num_tokens, int n, float* out, int stride) {
  launch(context, scatter_rows, dim3(num_tokens), kOrderThreads, x, n, out, stride);
}

void activate(const LaunchContext& context, const float* gate, const float* up, int num_tokens, int n,
              const Activated& to) {
  launch(context, activate_rows, dim3(num_tokens), kOrderThreads, gate, up, n, to);
}

void softcap_logits(const LaunchContext& context, float* x, int count, float softcap) {
  launch(context, softcap_kernel, dim3(ceil_div(count, kCapThreads)), kCapThreads, x, count, softcap);
}

void compact_tokens(const LaunchContext& context, const OutputParams* outputs, int num_outputs, float* residual,
                    int hidden, uint16_t* attention, int width) {
  launch(context, compact_rows, dim3(ceil_div(hidden + width, kCompactThreads)), kCompactThreads, outputs, num_outputs,
         residual, hidden, attention, width);
}

int top_k_partials(int vocab) { return ceil_div(vocab, kTopKBlock); }

void top_k(const LaunchContext& context, const TopKArgs& args, int num_outputs) {
  const int partials = top_k_partials(args.vocab);
  launch(context, partial_top_k, dim3(partials, num_outputs), kTopKThreads, args);
  launch(context, merge_top_k, dim3(1, num_outputs), kTopKThreads, args, partials);
}

} // namespace tinychat::cuda
