// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/dry.h"

#include <algorithm>
#include <cmath>

namespace tinychat {
namespace {

// Far below every logit, and still a number: where all tokens are penalized so, the likeliest is drawn all the same.
constexpr double kLargestPenalty = 1e9;

} // namespace

bool Dry::breaks(int32_t token) const {
  const auto word = static_cast<size_t>(token) / 32;
  return word < breakers_.size() && (breakers_[word] >> (token % 32) & 1) != 0;
}

void Dry::accept(int32_t token) {
  if (!is_on()) return;
  tokens_.push_back(token);
  is_fresh_ = false;
  // What is too old goes in large steps, so that it costs nothing.
  const auto last_n = static_cast<size_t>(params_.penalty_last_n);
  if (params_.penalty_last_n > 0 && tokens_.size() > 2 * last_n)
    tokens_.erase(tokens_.begin(), tokens_.end() - static_cast<std::ptrdiff_t>(last_n));
}

const std::vector<TokenPenalty>& Dry::penalties() {
  if (is_fresh_) return penalties_;
  is_fresh_ = true;
  penalties_.clear();
  find(penalties_);
  // Of each token the largest.
  std::sort(penalties_.begin(), penalties_.end(), [](const TokenPenalty& a, const TokenPenalty& b) {
    return a.token < b.token || (a.token == b.token && a.penalty > b.penalty);
  });
  penalties_.erase(std::unique(penalties_.begin(), penalties_.end(),
                               [](const TokenPenalty& a, const TokenPenalty& b) { return a.token == b.token; }),
                   penalties_.end());
  return penalties_;
}

// The Z function (Gusfield, 1997) of the tokens, the last one first: z[k] tokens that end k before the last are equal to as
// many last ones.
void Dry::find(std::vector<TokenPenalty>& found) const {
  const int held = static_cast<int>(tokens_.size());
  const int n = params_.penalty_last_n < 0 ? held : std::min(held, params_.penalty_last_n);
  const auto back = [&](int k) { return tokens_[static_cast<size_t>(held - 1 - k)]; };
  int longest = 0; // no match reaches over a breaker
  while (longest < n && !breaks(back(longest))) ++longest;
  if (longest < params_.allowed_length) return;

  std::vector<int> z(static_cast<size_t>(n));
  for (int k = 1, begin = 0, end = 0; k < n; ++k) {
    int length = k < end ? std::min(end - k, z[static_cast<size_t>(k - begin)]) : 0;
    while (k + length < n && back(length) == back(k + length)) ++length;
    z[static_cast<size_t>(k)] = length;
    if (k + length > end) begin = k, end = k + length;
    const int matched = std::min(length, longest);
    const int32_t next = back(k - 1);
    if (matched < params_.allowed_length || breaks(next)) continue;
    const double penalty = params_.multiplier *
                           std::pow(static_cast<double>(params_.base), matched - params_.allowed_length);
    found.push_back({next, static_cast<float>(std::min(penalty, kLargestPenalty))});
  }
}

} // namespace tinychat
