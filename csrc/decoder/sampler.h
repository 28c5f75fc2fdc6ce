// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "decoder/dry.h"
#include "decoder/forward_batch.h"

namespace tinychat {

// Every "off" value leaves the distribution as it is.
struct SamplingParams {
  float temperature = 0;        // 0: greedy
  int top_k = 0;                // 0: off
  float top_p = 1;              // 1: off
  float min_p = 0;              // 0: off
  float repetition_penalty = 1; // 1: off
  DryParams dry = {};
};

// Draws the next token. In this order, as the Hugging Face library has them: repetition penalty (Keskar et al., 2019) over
// every accepted token, DRY, temperature, top-k, top-p (Holtzman et al., 2020: the smallest set of the likeliest tokens whose
// mass reaches p), min-p (relative to the likeliest token), one multinomial draw. The same seed gives the same tokens.
class Sampler {
 public:
  // Throws std::invalid_argument for parameters that are not finite or out of range.
  // `dry_breakers`: as Dry has them.
  Sampler(uint64_t seed, const SamplingParams& params, std::vector<uint32_t> dry_breakers = {});

  // Tells of a token of the prompt or the answer: the repetition penalty and DRY count it.
  void accept(int32_t token);

  // logits [vocab]; `allowed` is null or a bit for each token (bit i%32 of word i/32). Greedy takes the lowest id of equals.
  // Throws std::invalid_argument where no token is allowed or the logits are not numbers.
  int32_t sample(const float* logits, int vocab, const uint32_t* allowed);

  // The same of the likeliest tokens that a backend has found, as many as candidates() tells: 0 where it takes all logits.
  // They are so many more than are drawn from as DRY may move down: of the others none could take a place.
  int32_t sample(const std::vector<Candidate>& likeliest);
  int candidates(int vocab);
  // What a backend is asked for; it points into the sampler, which accepts no token meanwhile.
  TopKRequest top_k_request(int k, int vocab, const uint32_t* allowed);

  // Room for logits [vocab], which sample() may be given.
  float* row(int vocab);

 private:
  // Of candidates with their logits, in an order that only depends on these.
  int32_t draw(float highest);

  // Of how many candidates one is drawn; 0: of all.
  int drawn_from(int vocab) const;

  SamplingParams params_;
  Dry dry_;
  std::mt19937_64 random_;
  std::vector<uint32_t> is_seen_; // a bit a token
  std::vector<int32_t> seen_;
  std::vector<float> row_;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
};

} // namespace tinychat
