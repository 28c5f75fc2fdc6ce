// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Launches of the small kernels: embedding, norms, the choice of tokens.

#include <algorithm>

#include "cuda/cap.cuh"
#include "cuda/embed.cuh"
#include "cuda/kernels.h"
#include "cuda/norm.cuh"
#include "cuda/sample.cuh"

namespace tinychat::cuda {

void embed(const Queue& queue, const Embedding& e, int rows) {
  launch(queue, embed_rows, dim3(rows), kEmbedThreads, e);
}

// Threads for rows of n numbers: whole warps, none without work.
static int norm_threads(int n) { return std::min(kNormThreads, ceil_div(ceil_div(n, 4), kWarp) * kWarp); }

void norm(const Queue& queue, const float* x, const NormWeights& w, const float* input_scale, int rows, int n,
          Number number, uint16_t* out) {
  launch(queue, norm_rows, dim3(rows), norm_threads(n), x, w, input_scale, n, number, out);
}

void add_normed(const Queue& queue, const float* step, const NormWeights& w, int rows, int n, float* residual) {
  launch(queue, add_normed_rows, dim3(rows), norm_threads(n), step, w, n, residual);
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
