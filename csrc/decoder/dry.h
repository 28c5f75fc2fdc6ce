// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "decoder/token_penalties.h"

namespace tinychat {

struct DryParams {
  float multiplier = 0;    // 0: off
  float base = 1.75f;      // at least 1
  int allowed_length = 2;  // at least 1
  int penalty_last_n = -1; // number of last tokens to search; -1: all, 0: off
};

// DRY ("don't repeat yourself", p-e-w, text-generation-webui #5677, 2024; as in llama.cpp). If the last n tokens occurred
// before, the token that followed them there gets the penalty multiplier * base^(n - allowed_length), for n >=
// allowed_length. A repetition ends at a breaker, and a breaker never gets a penalty.
class Dry {
 public:
  // `breakers`: one bit per token (bit i%32 of word i/32); control tokens are breakers too.
  Dry(const DryParams& params, std::vector<uint32_t> breakers) : params_(params), breakers_(std::move(breakers)) {}

  bool is_on() const { return params_.multiplier > 0 && params_.penalty_last_n != 0; }
  void accept(int32_t token);
  // Penalties for the next token: each token once, in ascending order. The time is linear in the number of tokens searched.
  const std::vector<TokenPenalty>& penalties();

 private:
  bool breaks(int32_t token) const;
  void find(std::vector<TokenPenalty>& found) const;

  DryParams params_;
  std::vector<uint32_t> breakers_;
  std::vector<int32_t> tokens_;
  bool is_fresh_ = true; // penalties_ belong to the current tokens_
  std::vector<TokenPenalty> penalties_;
};

} // namespace tinychat
