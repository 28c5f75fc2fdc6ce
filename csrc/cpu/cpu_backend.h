// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The decoder's steps on the CPU: work is cut into tiles of 16 weight rows, or into KV heads and stretches of the cache,
// and dealt to the threads in equal parts. All buffers are allocated once.
#pragma once

#include <memory>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/kv_cache.h"
#include "cpu/thread_pool.h"
#include "decoder/backend.h"
#include "decoder/model.h"

namespace tinychat {

// What a quantized matrix is multiplied with: floats, bytes, or 16 bits (two digits of a byte).
enum class InputKind { kFloat, kBytes, kSixteenBits };

class CpuBackend : public Backend {
 public:
  CpuBackend(const Model& model, const Kernels& kernels, InputKind input, CacheKind cache, int threads, int capacity);

  std::unique_ptr<KvCache> new_cache() override;
  int max_rows() const override { return kMaxRows; }
  void embed(const int32_t* tokens, int rows, int position) override;
  void norm_qkv(int layer) override;
  void attend(int layer, KvCache& cache, int first) override;
  void output(int layer) override;
  void norm_up(int layer) override;
  void down(int layer) override;
  void norm_head(float* logits) override;

 private:
  static constexpr int kMaxRows = 256;       // tokens in a pass: bounds the buffers and the time until a cancel is seen
  static constexpr int kFewRows = 8;         // tokens that are multiplied as digits where there are panels for more
  static constexpr int kPrefillQueries = 32; // that share a look at the cache

  // A matrix's input, as floats or bytes. One for all rows of a prefill; one a thread where a single token is decoded:
  // computing a norm twice is cheaper than waiting for the other thread to have done it.
  struct alignas(64) Bf16Line {
    uint16_t numbers[32];
  };
  struct Input {
    std::vector<Bf16Line> packed; // of many tokens
    std::vector<float> values, scales, scaled_sums;
    std::vector<float> ordered; // values in the order of a matrix that has one of its own
    std::vector<int32_t> sums;
    std::vector<int8_t> quantized;
  };
  struct AttentionScratch {
    std::vector<float> accumulators, maxima, sums, rotated;
    std::vector<const float*> queries;
    std::vector<int> positions;
    std::vector<float> slopes;
  };

  struct Tiles {
    int begin, end;
  };

  // For all rows: input row = prepare(row, room for it), which may lie elsewhere; part(Tiles, activations) for each
  // thread's share of `tiles`.
  template <typename Prepare, typename Part>
  void multiply(const Linear& w, int rows, int tiles, const Prepare& prepare, const Part& part);
  void norm_up_in_blocks(int layer);
  void multiply_rows(const Linear& w, int rows, const float* input, const Output& out);
  void add_to_residual(const Linear& w, const float* input, const NormVectors& post_norm, const NormVectors& sum_norm);
  void norm(const NormVectors& vectors, const float* x, float* out) const;
  const float* norm_row(const NormVectors& vectors, int row, float* out) const;
  InputKind input_of(const Linear& w) const;
  bool takes_panels(const Linear& w, int rows) const;
  // The products of the first of the tiles go to the start of `out`.
  void multiply_tiles(const Linear& w, Tiles tiles, const Activations& x, int rows, const Output& out);
  // The same of two runs of tiles, the second `apart` tiles behind the first, where a thread's part has both.
  void multiply_two(const Linear& w, Tiles tiles, int apart, const Activations& x, int rows, const Output& first,
                    const Output& second);
  void rotate_head(int layer, int row, bool key, float* x) const;
  void store_position(int layer, KvCache& cache, int kv_head, int row);
  void attend_decode(int layer, KvCache& cache);
  void attend_prefill(int layer, KvCache& cache, int first);
  void run_span(int layer, KvCache& cache, int kv_head, const float* queries, size_t stride, int row, int rows,
                int begin, int end, AttentionScratch& s) const;
  void finish(const AttentionScratch& s, int heads, float* out, int first = 0) const;

  const Model model_;
  const Kernels& kernels_;
  const InputKind input_;
  const CacheKind cache_;
  ThreadPool pool_;
  const int capacity_; // positions of a cache

  int rows_ = 0;     // of the pass
  int position_ = 0; // of its first row
  // [kMaxRows][…]
  std::vector<float> residual_, qkv_, attention_, hidden_, step_;
  std::vector<float> up_; // where it takes its input in another order than the gate
  std::vector<float> cos_, sin_, local_cos_, local_sin_;
  Input shared_;
  std::vector<Input> own_;                    // a thread
  std::vector<std::vector<Bf16Line>> panels_; // a thread: two tiles of weights
  std::vector<AttentionScratch> scratch_;     // a thread, or a stretch of the cache
};

} // namespace tinychat
