// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Which instance of the attention kernels a model takes.

#include <algorithm>

#include "cuda/attention/attention.h"
#include "cuda/attention/decode.cuh"
#include "cuda/attention/prefill.cuh"

namespace tinychat::cuda {
namespace {

// Queries of one KV head that a block takes.
int decode_heads(int group) { return group == 1 ? 1 : group <= 4 ? 4 : 8; }

template <typename Row>
void decode(const Queue& queue, const Attention& a, int splits) {
  const int group = a.group(), heads = decode_heads(group);
  const dim3 grid(a.cache.kv_heads, splits, ceil_div(group, heads));
  if (heads == 1) launch(queue, attend_decode<Row, 1>, grid, decode_threads(1), a);
  else if (heads == 4) launch(queue, attend_decode<Row, 4>, grid, decode_threads(4), a);
  else launch(queue, attend_decode<Row, 8>, grid, decode_threads(8), a);
}

template <typename Row>
void prefill(const Queue& queue, const Attention& a, int rows) {
  launch(queue, rotate_and_store<Row>, dim3(rows, ceil_div(a.heads + a.cache.kv_heads, kStoreWarps)),
         kStoreWarps * kWarp, a);
  const dim3 grid(a.heads, ceil_div(rows, kPrefillQueries));
  if (a.cache.head_dim <= 64) launch(queue, attend_prefill<Row, 64>, grid, kPrefillThreads, a);
  else if (a.cache.head_dim <= 128) launch(queue, attend_prefill<Row, 128>, grid, kPrefillThreads, a);
  else launch(queue, attend_prefill<Row, 256>, grid, kPrefillThreads, a);
}

} // namespace

int attention_splits(const Attention& a, int reach, int multiprocessors) {
  const int heads = decode_heads(a.group()), blocks = a.cache.kv_heads * ceil_div(a.group(), heads);
  const int least = decode_threads(heads) / 2, positions = a.window > 0 ? std::min(a.window, reach) : reach;
  return std::max(1, std::min({multiprocessors / blocks, positions / least, kMaxSplits}));
}

void attend_one(const Queue& queue, const Attention& a, int splits) {
  a.cache.bytes ? decode<ByteRow>(queue, a, splits) : decode<HalfRow>(queue, a, splits);
}

void attend_many(const Queue& queue, const Attention& a, int rows) {
  a.cache.bytes ? prefill<ByteRow>(queue, a, rows) : prefill<HalfRow>(queue, a, rows);
}

} // namespace tinychat::cuda
