// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Chooses the instance of an attention kernel for a model.

#include <algorithm>

#include "cuda/attention/attention.h"
#include "cuda/attention/decode.cuh"
#include "cuda/attention/prefill.cuh"

namespace tinychat::cuda {
namespace {

// Queries of one KV head that a block takes.
int decode_heads(int group) { return group == 1 ? 1 : group <= 4 ? 4 : kMaxDecodeHeads; }

template <typename Row, bool kFused>
void decode(const LaunchContext& context, const Attention& a, int num_tokens, int splits) {
  const int group = a.group(), heads = decode_heads(group);
  const dim3 grid(a.cache.kv_heads, splits, ceil_div(group, heads) * num_tokens);
  if (heads == 1) launch(context, attention_decode_kernel<Row, 1, kFused>, grid, decode_threads(1), a);
  else if (heads == 4) launch(context, attention_decode_kernel<Row, 4, kFused>, grid, decode_threads(4), a);
  else launch(context, attention_decode_kernel<Row, 8, kFused>, grid, decode_threads(8), a);
}

template <typename Row>
void store(const LaunchContext& context, const Attention& a, int num_tokens) {
  launch(context, rotate_and_store_kernel<Row>, dim3(num_tokens, ceil_div(a.heads + a.cache.kv_heads, kStoreWarps)),
         kStoreWarps * kWarp, a);
}

template <typename Row>
void prefill(const LaunchContext& context, const Attention& a, const QueryBlock* blocks, int num_blocks) {
  const dim3 grid(a.heads, num_blocks);
  if (a.cache.head_dim <= 64) launch(context, attention_prefill_kernel<Row, 64>, grid, kPrefillThreads, a, blocks);
  else if (a.cache.head_dim <= 128)
    launch(context, attention_prefill_kernel<Row, 128>, grid, kPrefillThreads, a, blocks);
  else launch(context, attention_prefill_kernel<Row, 256>, grid, kPrefillThreads, a, blocks);
}

} // namespace

int attention_splits(const Attention& a, int context, int num_tokens, int multiprocessors) {
  const int heads = decode_heads(a.group()), blocks = num_tokens * a.cache.kv_heads * ceil_div(a.group(), heads);
  const int least = decode_threads(heads) / 2, slots = a.window > 0 ? std::min(a.window, context) : context;
  return std::max(1, std::min({multiprocessors / blocks, slots / least, kMaxSplits}));
}

void rotate_and_store(const LaunchContext& context, const Attention& a, int num_tokens) {
  a.cache.int8 ? store<Int8Row>(context, a, num_tokens) : store<Fp16Row>(context, a, num_tokens);
}

void attention_decode_fused(const LaunchContext& context, const Attention& a, int splits) {
  a.cache.int8 ? decode<Int8Row, true>(context, a, 1, splits) : decode<Fp16Row, true>(context, a, 1, splits);
}

void attention_decode(const LaunchContext& context, const Attention& a, int num_tokens, int splits) {
  a.cache.int8 ? decode<Int8Row, false>(context, a, num_tokens, splits)
               : decode<Fp16Row, false>(context, a, num_tokens, splits);
}

void attention_prefill(const LaunchContext& context, const Attention& a, const QueryBlock* blocks, int num_blocks) {
  a.cache.int8 ? prefill<Int8Row>(context, a, blocks, num_blocks) : prefill<Fp16Row>(context, a, blocks, num_blocks);
}

} // namespace tinychat::cuda
