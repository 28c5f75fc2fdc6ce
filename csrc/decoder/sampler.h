// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace tinychat {

// Every "off" value leaves the distribution as it is.
struct SamplingParams {
  float temperature = 0;        // 0: greedy
  int top_k = 0;                // 0: off
  float top_p = 1;              // 1: off
  float min_p = 0;              // 0: off
  float repetition_penalty = 1; // 1: off
};

// Draws the next token. In this order, as the Hugging Face library has them: repetition penalty (Keskar et al., 2019) over
// every accepted token, temperature, top-k, top-p (Holtzman et al., 2020: the smallest set of the likeliest tokens whose
// mass reaches p), min-p (relative to the likeliest token), one multinomial draw. The same seed gives the same tokens.
class Sampler {
 public:
  Sampler(uint64_t seed, const SamplingParams& params) : params_(params), random_(seed) {}

  // Tells of a token of the prompt or the answer: the repetition penalty counts it.
  void accept(int32_t token);

  // logits [vocab]; `allowed` is null or a bit for each token (bit i%32 of word i/32). Greedy takes the lowest id of equals.
  // Throws std::invalid_argument where no token is allowed or the logits are not numbers.
  int32_t sample(const float* logits, int vocab, const uint32_t* allowed);

 private:
  struct Candidate {
    float weight; // its logit, then exp((logit - highest) / temperature)
    int32_t token;
  };

  SamplingParams params_;
  std::mt19937_64 random_;
  std::vector<bool> is_seen_;
  std::vector<int32_t> seen_;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
};

} // namespace tinychat
