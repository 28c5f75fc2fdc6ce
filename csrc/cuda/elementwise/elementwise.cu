// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Launches of the small kernels: embedding, norms, bytes, the choice of tokens.

#include <algorithm>

#include "cuda/elementwise/elementwise.h"
#include "cuda/elementwise/embed.cuh"
#include "cuda/elementwise/input_order.cuh"
#include "cuda/elementwise/norm_kernels.cuh"
#include "cuda/elementwise/softcap.cuh"
#include "cuda/elementwise/top_k.cuh"

namespace tinychat::cuda {

void embed(const Queue& queue, const Embedding& e, int rows) {
  launch(queue, embed_rows, dim3(rows), kEmbedThreads, e);
}

// Threads for rows of n numbers: whole warps, none without work.
static int row_threads(int n) { return std::min(kRowThreads, ceil_div(ceil_div(n, 4), kWarp) * kWarp); }

void norm(const Queue& queue, const Normed& x, int rows, int n, Number number, uint16_t* out) {
  launch(queue, norm_rows, dim3(rows), row_threads(n), x, n, number, out);
}

void add_normed(const Queue& queue, const Normed& step, int rows, int n, float* residual) {
  launch(queue, add_normed_rows, dim3(rows), row_threads(n), step, n, residual);
}

void norm_residual(const Queue& queue, const NormWeights& weights, int rows, int n, float* residual) {
  launch(queue, norm_residual_rows, dim3(rows), row_threads(n), weights, n, residual);
}

void norm_to_bytes(const Queue& queue, const Normed& x, int rows, int n, const Bytes& to) {
  launch(queue, norm_rows_to_bytes, dim3(rows), row_threads(n), x, n, to);
}

void to_bytes(const Queue& queue, const uint16_t* x, Number number, int rows, int n, const Bytes& to) {
  launch(queue, rows_to_bytes, dim3(rows), row_threads(n), x, n, number, to);
}

void order(const Queue& queue, const uint16_t* x, int rows, int n, const float* order, uint16_t* out) {
  launch(queue, order_rows, dim3(rows), kOrderThreads, x, n, order, out);
}

void place(const Queue& queue, const float* x, int rows, int n, float* out, int stride) {
  launch(queue, place_rows, dim3(rows), kOrderThreads, x, n, out, stride);
}

void activate(const Queue& queue, const float* gate, const float* rest, int rows, int n, const Activated& to) {
  launch(queue, activate_rows, dim3(rows), kOrderThreads, gate, rest, n, to);
}

void cap(const Queue& queue, float* x, int count, float softcap) {
  launch(queue, cap_all, dim3(ceil_div(count, kCapThreads)), kCapThreads, x, count, softcap);
}

int choice_shares(int vocab) { return ceil_div(vocab, kChoiceShare); }

void choose(const Queue& queue, const Choosing& choosing) {
  const int shares = choice_shares(choosing.vocab);
  launch(queue, choose_of_share, dim3(shares), kChoiceThreads, choosing);
  launch(queue, choose_of_all, dim3(1), kChoiceThreads, choosing, shares);
}

} // namespace tinychat::cuda
