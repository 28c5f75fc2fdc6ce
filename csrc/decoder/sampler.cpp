// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace tinychat {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();
// All tokens that are e^50 times less likely than the likeliest share, even in a vocabulary of 256k, less of the mass than
// one step of the 53-bit random number.
constexpr float kNegligible = 50.0f;

// exp(x) for x <= 0, relative error below 3e-7, without a branch, so that the compiler turns a loop of it into vectors.
inline float fast_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  const int n = static_cast<int>(x * 1.44269504f - 0.5f); // nearest, as x is not positive
  const float r = (x - static_cast<float>(n) * 0.693359375f) + static_cast<float>(n) * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (n + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return p * power;
}

// The largest of n numbers; NaN where there is one. Sixteen running maxima, which a compiler keeps in vectors.
float maximum(const float* x, int n) {
  constexpr int kLanes = 16;
  float most[kLanes], sums[kLanes] = {};
  for (float& m : most) m = kForbidden;
  int i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) {
      most[j] = x[i + j] > most[j] ? x[i + j] : most[j];
      sums[j] += x[i + j] != x[i + j] ? 1.0f : 0.0f; // only NaN differs from itself
    }
  for (; i < n; ++i) {
    most[0] = x[i] > most[0] ? x[i] : most[0];
    sums[0] += x[i] != x[i] ? 1.0f : 0.0f;
  }
  for (const float bad : sums)
    if (bad > 0) return std::numeric_limits<float>::quiet_NaN();
  return *std::max_element(most, most + kLanes);
}

} // namespace

void Sampler::accept(int32_t token) {
  if (params_.repetition_penalty == 1 || token < 0) return;
  if (static_cast<size_t>(token) >= is_seen_.size()) is_seen_.resize(token + 1);
  if (is_seen_[token]) return;
  is_seen_[token] = true;
  seen_.push_back(token);
}

int32_t Sampler::sample(const float* logits, int vocab, const uint32_t* allowed) {
  if (!seen_.empty() || allowed != nullptr) {
    logits_.assign(logits, logits + vocab);
    for (const int32_t token : seen_) {
      if (token >= vocab) continue;
      float& logit = logits_[token];
      logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    }
    if (allowed != nullptr)
      for (int i = 0; i < vocab; ++i)
        if ((allowed[i / 32] >> (i % 32) & 1) == 0) logits_[i] = kForbidden;
    logits = logits_.data();
  }

  const float highest = maximum(logits, vocab);
  if (!std::isfinite(highest))
    throw std::invalid_argument(highest == kForbidden ? "no token is allowed" : "the logits are not finite numbers");
  if (params_.temperature <= 0) return static_cast<int32_t>(std::find(logits, logits + vocab, highest) - logits);

  // Likelier first, then the lower id: the order never depends on how a library sorts.
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.weight > b.weight || (a.weight == b.weight && a.token < b.token);
  };
  candidates_.clear();
  const auto top_k = static_cast<size_t>(params_.top_k > 0 ? std::min(params_.top_k, vocab) : vocab);
  if (top_k < static_cast<size_t>(vocab)) {
    // A heap of the k best so far, the worst of them on top: most logits end at one comparison.
    for (int i = 0; i < vocab; ++i) {
      if (candidates_.size() == top_k) {
        if (!(logits[i] > candidates_.front().weight)) continue;
        std::pop_heap(candidates_.begin(), candidates_.end(), likelier);
        candidates_.pop_back();
      }
      candidates_.push_back({logits[i], i});
      std::push_heap(candidates_.begin(), candidates_.end(), likelier);
    }
  } else {
    const float least = highest - kNegligible * params_.temperature;
    for (int i = 0; i < vocab; ++i)
      if (logits[i] >= least) candidates_.push_back({logits[i], i});
  }

  const float factor = 1.0f / params_.temperature;
  double total = 0;
  for (Candidate& c : candidates_) c.weight = c.weight == kForbidden ? 0 : fast_exp((c.weight - highest) * factor);
  for (const Candidate& c : candidates_) total += c.weight;

  const auto keep = [&](double least) {
    candidates_.erase(std::remove_if(candidates_.begin(), candidates_.end(),
                                     [least](const Candidate& c) { return static_cast<double>(c.weight) < least; }),
                      candidates_.end());
  };
  if (params_.top_p < 1) {
    // Tokens below an equal share of the mass that may be left out are all left out: only the rest needs sorting.
    keep((1.0 - static_cast<double>(params_.top_p)) * total / static_cast<double>(candidates_.size()));
    std::sort(candidates_.begin(), candidates_.end(), likelier);
    double mass = 0;
    size_t count = 0;
    while (count < candidates_.size() && mass < static_cast<double>(params_.top_p) * total)
      mass += candidates_[count++].weight;
    candidates_.resize(std::max<size_t>(count, 1));
  }
  if (params_.min_p > 0) keep(params_.min_p); // the likeliest token's weight is 1

  total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  double left = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  for (const Candidate& c : candidates_) {
    left -= c.weight;
    if (left < 0) return c.token;
  }
  return candidates_.back().token;
}

} // namespace tinychat
