// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <vector>

namespace tinychat {

// A token and the penalty to subtract from its logit; a negative one makes the token more likely.
struct TokenPenalty {
  int32_t token;
  float penalty;
};

// The penalties of OpenAI's API: of each token of the answer (the prompt does not count), frequency * how often it occurred +
// presence; and of each token of `logit_bias`, minus its bias.
class AnswerPenalties {
 public:
  // `bias`: penalties of tokens, each token once, in ascending order.
  AnswerPenalties(float frequency, float presence, std::vector<TokenPenalty> bias);

  // Whether the penalties depend on the accepted tokens.
  bool counts() const { return frequency_ != 0 || presence_ != 0; }
  // Records a token of the answer.
  void accept(int32_t token);
  // Each token once, in ascending order.
  const std::vector<TokenPenalty>& penalties() const { return penalties_; }

 private:
  float frequency_;
  float presence_;
  std::set<int32_t> seen_;
  std::vector<TokenPenalty> penalties_;
};

// Returns one list of two; both are in ascending order of tokens, and the penalties of the same token are added.
std::vector<TokenPenalty> merged(const std::vector<TokenPenalty>& a, const std::vector<TokenPenalty>& b);

} // namespace tinychat
