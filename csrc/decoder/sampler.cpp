// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "decoder/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "decoder/top_k.h"

namespace tinychat {
namespace {

constexpr float kMaxFloat = std::numeric_limits<float>::max();
constexpr int32_t kLargestVocabulary = 1 << 24; // bounds the memory that a wrong token can take
constexpr float kForbidden = -std::numeric_limits<float>::infinity();
// All tokens that are e^50 times less likely than the likeliest share, even in a vocabulary of 256k, less of the mass than
// one step of the 53-bit random number.
constexpr float kNegligible = 50.0f;

// exp(x) for x <= 0, relative error below 3e-7, without a branch, so that the compiler turns a loop of it into vectors.
inline float fast_exp(float x) {
  x = x > -87.0f ? x : -87.0f;                            // also what is not a number
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

// Numbers that are added up together, so that a draw finds its token without looking at every weight again.
constexpr int kBlock = 256;

// The sum of n numbers. Eight running sums, which a compiler keeps in vectors.
double sum_of(const float* x, int n) {
  constexpr int kLanes = 8;
  double sums[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) sums[j] += static_cast<double>(x[i + j]);
  double total = 0;
  for (const double sum : sums) total += sum;
  for (; i < n; ++i) total += static_cast<double>(x[i]);
  return total;
}

// weights[i] = exp((logits[i] - highest) * factor), or 0 where it is negligible; the sums of kBlock weights each into
// `sums`. Returns their total.
double softmax_weights(const float* logits, int n, float highest, float factor, std::vector<float>& weights,
                       std::vector<double>& sums) {
  weights.resize(n);
  sums.clear();
  double total = 0;
  for (int begin = 0; begin < n; begin += kBlock) {
    const int count = std::min(kBlock, n - begin);
    const float* x = logits + begin;
    float* w = &weights[begin];
    for (int i = 0; i < count; ++i) {
      const float exponent = (x[i] - highest) * factor, power = fast_exp(exponent);
      w[i] = exponent >= -kNegligible ? power : 0.0f;
    }
    sums.push_back(sum_of(w, count));
    total += sums.back();
  }
  return total;
}

void check_highest(float highest) {
  if (!std::isfinite(highest))
    throw std::invalid_argument(highest == kForbidden ? "no token is allowed" : "the logits are not finite numbers");
}

// NaN is in no range.
void check_range(const char* name, float value, float low, float high) {
  if (!(value >= low && value <= high))
    throw std::invalid_argument(std::string(name) + " of the sampler is " + std::to_string(value));
}

} // namespace

Sampler::Sampler(uint64_t seed, const SamplingParams& params, std::vector<uint32_t> dry_breakers)
    : params_(params),
      dry_(params.dry, std::move(dry_breakers)),
      answer_(params.frequency_penalty, params.presence_penalty, params.logit_bias),
      random_(seed) {
  check_range("temperature", params.temperature, 0, kMaxFloat);
  // 1/t must not overflow.
  if (params.temperature > 0) check_range("temperature", params.temperature, 1e-30f, kMaxFloat);
  check_range("top_k", static_cast<float>(params.top_k), 0, kMaxFloat);
  check_range("top_p", params.top_p, 0, 1);
  check_range("min_p", params.min_p, 0, 1);
  check_range("repetition_penalty", params.repetition_penalty, std::numeric_limits<float>::min(), kMaxFloat);
  check_range("dry_multiplier", params.dry.multiplier, 0, kMaxFloat);
  check_range("dry_base", params.dry.base, 1, kMaxFloat);
  check_range("dry_allowed_length", static_cast<float>(params.dry.allowed_length), 1, kMaxFloat);
  check_range("dry_penalty_last_n", static_cast<float>(params.dry.penalty_last_n), -1, kMaxFloat);
  check_range("frequency_penalty", params.frequency_penalty, -kMaxFloat, kMaxFloat);
  check_range("presence_penalty", params.presence_penalty, -kMaxFloat, kMaxFloat);
  for (const TokenPenalty& p : params.logit_bias) check_range("logit_bias", p.penalty, -kMaxFloat, kMaxFloat);
  check_range("top_logprobs", static_cast<float>(params.top_logprobs), -1, kMaxFloat);
}

void Sampler::accept(int32_t token, bool is_prompt) {
  if (token < 0 || token >= kLargestVocabulary)
    throw std::invalid_argument("token " + std::to_string(token) + " is in no vocabulary");
  dry_.accept(token);
  if (!is_prompt) answer_.accept(token);
  if (params_.repetition_penalty == 1) return;
  const auto word = static_cast<size_t>(token) / 32;
  const uint32_t bit = 1u << token % 32;
  if (word >= is_seen_.size()) is_seen_.resize(word + 1);
  if ((is_seen_[word] & bit) != 0) return;
  is_seen_[word] |= bit;
  seen_.push_back(token);
}

const std::vector<TokenPenalty>& Sampler::penalties() {
  const auto &dry = dry_.penalties(), &answer = answer_.penalties();
  if (answer.empty()) return dry;
  if (dry.empty()) return answer;
  penalties_ = merged(dry, answer);
  return penalties_;
}

int Sampler::drawn_from(int vocab) const {
  if (params_.temperature <= 0) return 1;
  return params_.top_k < vocab ? params_.top_k : 0;
}

int Sampler::candidates(int vocab) {
  const int count = drawn_from(vocab);
  if (count == 0 || params_.top_logprobs >= 0) return 0; // a log probability needs all logits
  const auto& found = penalties();
  // A token that becomes more likely may come from anywhere.
  if (std::any_of(found.begin(), found.end(), [](const TokenPenalty& p) { return p.penalty < 0; })) return 0;
  const int64_t more = count + static_cast<int64_t>(found.size());
  return more < vocab ? static_cast<int>(more) : 0;
}

TopKRequest Sampler::top_k_request(int k, int vocab, const uint32_t* allowed) {
  is_seen_.resize(std::max(is_seen_.size(), static_cast<size_t>(vocab + 31) / 32));
  return {k, params_.repetition_penalty, seen_.empty() ? nullptr : is_seen_.data(), allowed};
}

float* Sampler::row(int index, int count, int vocab) {
  const size_t size = static_cast<size_t>(count) * vocab;
  if (rows_.size() < size) rows_.resize(size); // never smaller: growing again would fill it with zeros
  return &rows_[static_cast<size_t>(index) * vocab];
}

int32_t Sampler::sample(const std::vector<Candidate>& likeliest) {
  const float highest = likeliest.empty() ? kForbidden : likeliest[0].logit;
  check_highest(highest);
  candidates_ = likeliest;
  if (const auto& subtracted = penalties(); !subtracted.empty()) {
    for (Candidate& c : candidates_) {
      const auto found = std::lower_bound(subtracted.begin(), subtracted.end(), c.token,
                                          [](const TokenPenalty& p, int32_t token) { return p.token < token; });
      if (found != subtracted.end() && found->token == c.token) c.logit -= found->penalty;
    }
    std::sort(candidates_.begin(), candidates_.end(), likelier);
    candidates_.resize(std::min(candidates_.size(), static_cast<size_t>(drawn_from(std::numeric_limits<int>::max()))));
  }
  if (params_.temperature <= 0) return candidates_[0].token;
  return draw(candidates_[0].logit);
}

int32_t Sampler::sample(const float* logits, int vocab, const uint32_t* allowed) {
  const int32_t token = choose(logits, vocab, allowed);
  if (params_.top_logprobs >= 0) record(logits, vocab, token);
  return token;
}

void Sampler::record(const float* logits, int vocab, int32_t token) {
  const float highest = maximum(logits, vocab);
  const double total = static_cast<double>(highest) +
                       std::log(softmax_weights(logits, vocab, highest, 1.0f, weights_, sums_));
  const auto logprob = [total](float logit) { return static_cast<float>(static_cast<double>(logit) - total); };
  logprobs_.logprob = logprob(logits[token]);
  logprobs_.top.clear();
  if (params_.top_logprobs == 0) return;
  TopKRequest request;
  request.k = std::min(params_.top_logprobs, vocab);
  find_top_k(logits, vocab, request);
  logprobs_.top = std::move(request.found);
  for (Candidate& c : logprobs_.top) c.logit = logprob(c.logit);
}

int32_t Sampler::choose(const float* logits, int vocab, const uint32_t* allowed) {
  const auto& subtracted = penalties();
  if (!seen_.empty() || !subtracted.empty() || allowed != nullptr) {
    logits_.assign(logits, logits + vocab);
    for (const int32_t token : seen_) {
      if (token >= vocab) continue;
      float& logit = logits_[token];
      logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    }
    for (const TokenPenalty& p : subtracted)
      if (p.token < vocab) logits_[p.token] -= p.penalty;
    if (allowed != nullptr)
      for (int i = 0; i < vocab; ++i)
        if ((allowed[i / 32] >> (i % 32) & 1) == 0) logits_[i] = kForbidden;
    logits = logits_.data();
  }

  const float highest = maximum(logits, vocab);
  check_highest(highest);
  if (params_.temperature <= 0) return static_cast<int32_t>(std::find(logits, logits + vocab, highest) - logits);

  const auto top_k = static_cast<size_t>(drawn_from(vocab));
  if (top_k == 0) return draw_from_all(logits, vocab, highest);
  // A heap of the k best so far, the worst of them on top: most logits end at one comparison.
  candidates_.clear();
  for (int i = 0; i < vocab; ++i) {
    if (!(logits[i] > (candidates_.size() == top_k ? candidates_.front().logit : kForbidden))) continue;
    if (candidates_.size() == top_k) {
      std::pop_heap(candidates_.begin(), candidates_.end(), likelier);
      candidates_.pop_back();
    }
    candidates_.push_back({logits[i], i});
    std::push_heap(candidates_.begin(), candidates_.end(), likelier);
  }
  std::sort_heap(candidates_.begin(), candidates_.end(), likelier);
  return draw(highest);
}

int32_t Sampler::draw_from_all(const float* logits, int vocab, float highest) {
  const double total = softmax_weights(logits, vocab, highest, 1.0f / params_.temperature, weights_, sums_);
  if (params_.top_p < 1 || params_.min_p > 0) {
    // Tokens below an equal share of the mass that may be left out are all left out: only the rest needs sorting.
    const double share = (1.0 - static_cast<double>(params_.top_p)) * total / static_cast<double>(vocab);
    const auto least = static_cast<float>(std::max(share, static_cast<double>(params_.top_p < 1 ? 0 : params_.min_p)));
    candidates_.clear();
    for (int i = 0; i < vocab; ++i)
      if (weights_[i] >= least && weights_[i] > 0) candidates_.push_back({weights_[i], i});
    return draw_weighted(total);
  }
  double left = uniform() * total;
  size_t block = 0;
  while (block + 1 < sums_.size() && left >= sums_[block]) left -= sums_[block++];
  for (int i = static_cast<int>(block) * kBlock; i < vocab; ++i) {
    left -= static_cast<double>(weights_[i]);
    if (left < 0) return i;
  }
  int32_t last = vocab - 1; // rounding has left a remainder
  while (weights_[last] <= 0) --last;
  return last;
}

int32_t Sampler::draw(float highest) {
  // From here on a candidate's number is its weight, exp((logit - highest) / temperature).
  const float factor = 1.0f / params_.temperature;
  double total = 0;
  for (Candidate& c : candidates_) c.logit = fast_exp((c.logit - highest) * factor);
  for (const Candidate& c : candidates_) total += static_cast<double>(c.logit);
  return draw_weighted(total);
}

int32_t Sampler::draw_weighted(double total) {
  if (params_.top_p < 1) {
    std::sort(candidates_.begin(), candidates_.end(), likelier);
    double mass = 0;
    size_t count = 0;
    while (count < candidates_.size() && mass < static_cast<double>(params_.top_p) * total)
      mass += static_cast<double>(candidates_[count++].logit);
    candidates_.resize(std::max<size_t>(count, 1));
  }
  if (params_.min_p > 0) { // the likeliest token's weight is 1
    const auto is_less = [least = params_.min_p](const Candidate& c) { return c.logit < least; };
    candidates_.erase(std::remove_if(candidates_.begin(), candidates_.end(), is_less), candidates_.end());
  }
  total = 0;
  for (const Candidate& c : candidates_) total += static_cast<double>(c.logit);
  double left = uniform() * total;
  for (const Candidate& c : candidates_) {
    left -= static_cast<double>(c.logit);
    if (left < 0) return c.token;
  }
  return candidates_.back().token;
}

double Sampler::uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

} // namespace tinychat
