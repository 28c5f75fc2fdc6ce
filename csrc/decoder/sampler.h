// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "decoder/dry.h"
#include "decoder/forward_batch.h"

namespace tinychat {

// A parameter with its "off" value does not change the distribution.
struct SamplingParams {
  float temperature = 0;        // 0: greedy
  int top_k = 0;                // 0: off
  float top_p = 1;              // 1: off
  float min_p = 0;              // 0: off
  float repetition_penalty = 1; // 1: off
  DryParams dry = {};
  float frequency_penalty = 0;               // 0: off
  float presence_penalty = 0;                // 0: off
  std::vector<TokenPenalty> logit_bias = {}; // as in AnswerPenalties
  int top_logprobs = -1; // -1: off; otherwise the number of alternatives whose log probabilities are recorded
};

// Natural logarithms of probabilities of the model itself: before the penalties, the mask and the temperature.
struct DrawnLogprobs {
  float logprob = 0;               // of the drawn token
  std::vector<Candidate> top = {}; // the most likely tokens; `logit` is the log probability
};

// Draws the next token. In this order, as in transformers: repetition penalty (Keskar et al., 2019) for every accepted token,
// DRY, the penalties of OpenAI's API, temperature, top-k, top-p (Holtzman et al., 2020: the smallest set of most likely tokens whose probabilities sum to
// p), min-p (relative to the most likely token), one multinomial draw. The same seed gives the same tokens.
class Sampler {
 public:
  // Throws std::invalid_argument for parameters that are not finite or out of range.
  // `dry_breakers`: as in Dry.
  Sampler(uint64_t seed, const SamplingParams& params, std::vector<uint32_t> dry_breakers = {});

  // Records a token, for the repetition penalty and DRY, and, if it belongs to the answer, for its penalties.
  void accept(int32_t token, bool is_prompt = false);

  // logits [vocab]; `allowed`: one bit per token (bit i%32 of word i/32), or null. Greedy decoding takes the lowest id of
  // equal logits. Throws std::invalid_argument if no token is allowed or the logits are not numbers.
  int32_t sample(const float* logits, int vocab, const uint32_t* allowed);

  // The same from the most likely tokens, which a backend has found. candidates() returns how many are needed; 0: all
  // logits are needed. It is larger than top_k by the number of tokens that penalties can move out of the top k.
  int32_t sample(const std::vector<Candidate>& likeliest);
  int candidates(int vocab);
  // The request to the backend. It points into the sampler, which must not accept tokens while the request is in use.
  TopKRequest top_k_request(int k, int vocab, const uint32_t* allowed);

  // Of the last token that was drawn, if top_logprobs is not -1.
  const DrawnLogprobs& logprobs() const { return logprobs_; }
  bool has_logprobs() const { return params_.top_logprobs >= 0; }

  // Row `index` of a buffer for logits [count][vocab], which may be passed to sample().
  float* row(int index, int count, int vocab);

  // Whether the distribution also depends on the tokens accepted so far.
  bool has_penalties() const { return params_.repetition_penalty != 1 || dry_.is_on() || answer_.counts(); }

 private:
  int32_t choose(const float* logits, int vocab, const uint32_t* allowed);
  void record(const float* logits, int vocab, int32_t token);
  int32_t draw_from_all(const float* logits, int vocab, float highest);
  // Draws from candidates_, in an order that depends only on their logits and ids.
  int32_t draw(float highest);
  // The same when their numbers are weights already; `total`: of all tokens, also of those that are no candidates.
  int32_t draw_weighted(double total);
  double uniform(); // in [0, 1)

  // To subtract from the logits: each token once, in ascending order.
  const std::vector<TokenPenalty>& penalties();
  // The number of candidates to draw from; 0: all.
  int drawn_from(int vocab) const;

  SamplingParams params_;
  Dry dry_;
  AnswerPenalties answer_;
  std::vector<TokenPenalty> penalties_; // of both
  std::mt19937_64 random_;
  std::vector<uint32_t> is_seen_; // one bit per token
  std::vector<int32_t> seen_;
  std::vector<float> rows_;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
  std::vector<float> weights_; // of all tokens
  std::vector<double> sums_;   // of blocks of them
  DrawnLogprobs logprobs_;
};

} // namespace tinychat
