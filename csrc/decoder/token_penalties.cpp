// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/token_penalties.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace tinychat {
namespace {

bool is_before(const TokenPenalty& a, const TokenPenalty& b) { return a.token < b.token; }

} // namespace

AnswerPenalties::AnswerPenalties(float frequency, float presence, std::vector<TokenPenalty> bias)
    : frequency_(frequency), presence_(presence), penalties_(std::move(bias)) {
  if (!penalties_.empty() && penalties_[0].token < 0) throw std::invalid_argument("a token of logit_bias is negative");
  for (size_t i = 1; i < penalties_.size(); ++i)
    if (!is_before(penalties_[i - 1], penalties_[i]))
      throw std::invalid_argument("the tokens of logit_bias are not in ascending order");
}

void AnswerPenalties::accept(int32_t token) {
  if (!counts()) return;
  const TokenPenalty one = {token, frequency_ + (seen_.insert(token).second ? presence_ : 0.0f)};
  const auto at = std::lower_bound(penalties_.begin(), penalties_.end(), one, is_before);
  if (at == penalties_.end() || at->token != token) penalties_.insert(at, one);
  else at->penalty += one.penalty;
}

std::vector<TokenPenalty> merged(const std::vector<TokenPenalty>& a, const std::vector<TokenPenalty>& b) {
  std::vector<TokenPenalty> both;
  both.reserve(a.size() + b.size());
  std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both), is_before);
  size_t count = 0;
  for (const TokenPenalty& p : both) {
    if (count > 0 && both[count - 1].token == p.token) both[count - 1].penalty += p.penalty;
    else both[count++] = p;
  }
  both.resize(count);
  return both;
}

} // namespace tinychat
