// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace tinychat {

struct DryParams {
  float multiplier = 0;    // 0: off
  float base = 1.75f;      // at least 1
  int allowed_length = 2;  // at least 1
  int penalty_last_n = -1; // tokens that are looked at; -1: all, 0: off
};

// A token and what is taken off its logit.
struct DryPenalty {
  int32_t token;
  float penalty;
};

// DRY ("don't repeat yourself", p-e-w, text-generation-webui #5677, 2024; as llama.cpp has it): a token that would go on a
// repetition loses multiplier * base^(n - allowed_length), where n >= allowed_length is how many tokens before it are equal
// to the last n ones. No repetition reaches over a breaker, and a breaker is never penalized.
class Dry {
 public:
  // `breakers`: a bit a token (bit i%32 of word i/32), control tokens among them.
  Dry(const DryParams& params, std::vector<uint32_t> breakers) : params_(params), breakers_(std::move(breakers)) {}

  bool is_on() const { return params_.multiplier > 0 && params_.penalty_last_n != 0; }
  void accept(int32_t token);
  // For the next token, each token once, in ascending order; linear in the tokens that are looked at.
  const std::vector<DryPenalty>& penalties();

 private:
  bool breaks(int32_t token) const;
  void find(std::vector<DryPenalty>& found) const;

  DryParams params_;
  std::vector<uint32_t> breakers_;
  std::vector<int32_t> tokens_;
  bool is_fresh_ = true; // penalties_ are those of tokens_
  std::vector<DryPenalty> penalties_;
};

} // namespace tinychat
