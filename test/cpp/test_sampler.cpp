// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the sampler may draw and how often; the Python tests compare whole distributions.

#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>

#include "check.h"
#include "decoder/sampler.h"

using namespace tinychat;

namespace {

std::set<int32_t> drawn(const SamplingParams& params, const std::vector<float>& logits) {
  Sampler sampler(5, params);
  std::set<int32_t> tokens;
  for (int i = 0; i < 4000; ++i) tokens.insert(sampler.sample(logits.data(), static_cast<int>(logits.size()), nullptr));
  return tokens;
}

} // namespace

int main() {
  const float ln2 = std::log(2.0f);
  const std::vector<float> logits = {0, 3 * ln2, 2 * ln2, 3 * ln2, ln2}; // weights 1 8 4 8 2 of 23
  SamplingParams greedy;
  CHECK(Sampler(1, greedy).sample(logits.data(), 5, nullptr) == 1, "the lowest id of equals");

  SamplingParams params;
  params.temperature = 1;
  CHECK(drawn(params, logits) == (std::set<int32_t>{0, 1, 2, 3, 4}), "everything");
  params.top_k = 2;
  CHECK(drawn(params, logits) == (std::set<int32_t>{1, 3}), "top-k");
  params.top_k = 0;
  params.top_p = 0.8f; // 16/23 is too little, 20/23 enough
  CHECK(drawn(params, logits) == (std::set<int32_t>{1, 2, 3}), "top-p");
  params.top_p = 1e-6f;
  CHECK(drawn(params, logits) == (std::set<int32_t>{1}), "top-p keeps at least one");
  params.top_p = 1;
  params.min_p = 0.24f;
  CHECK(drawn(params, logits) == (std::set<int32_t>{1, 2, 3, 4}), "min-p");

  SamplingParams penalty;
  penalty.repetition_penalty = 1.5f;
  Sampler penalized(1, penalty);
  penalized.accept(1);
  CHECK(penalized.sample(logits.data(), 5, nullptr) == 3, "repetition penalty");

  SamplingParams dry;
  dry.dry = {2 * ln2, 2, 2, -1};
  Sampler guarded(1, dry, {1u << 4});
  const auto accept = [&guarded](const std::vector<int32_t>& tokens) {
    for (const int32_t token : tokens) guarded.accept(token);
  };
  const auto next = [&] { return guarded.sample(logits.data(), 5, nullptr); };
  accept({0, 2, 1, 2, 0, 2}); // 1 goes on a repetition of two tokens: its weight 8 becomes 2, while 3 has 8
  CHECK(next() == 3, "DRY");
  CHECK(guarded.candidates(5) == 2, "the likeliest, and as many as DRY may move down");
  CHECK(guarded.sample({{3 * ln2, 1}, {3 * ln2, 3}}) == 3, "DRY among candidates");
  accept({1, 3, 4, 3, 1, 3}); // 4 breaks: it is never penalized, and 1 3 is as long as it is since
  CHECK(guarded.candidates(5) == 1, "breakers are never penalized");
  accept({4});
  CHECK(guarded.candidates(5) == 1 && next() == 1, "no repetition reaches over a breaker");

  for (const DryParams& bad : {DryParams{-1, 2, 2, -1}, DryParams{1, 0.5f, 2, -1}, DryParams{1, 2, 0, -1}}) {
    SamplingParams params;
    params.dry = bad;
    bool is_refused = false;
    try {
      Sampler(1, params);
    } catch (const std::invalid_argument&) {
      is_refused = true;
    }
    CHECK(is_refused, "DRY out of range");
  }

  SamplingParams counted;
  counted.frequency_penalty = 0.75f * ln2;
  counted.presence_penalty = ln2;
  counted.logit_bias = {{3, -0.5f * ln2}};
  Sampler counting(1, counted);
  CHECK(counting.candidates(5) == 0, "a bias upwards needs all logits");
  counting.accept(3, true);
  CHECK(counting.sample(logits.data(), 5, nullptr) == 3, "a bias; the prompt does not count");
  counting.accept(3); // 3 + 0.5 - 1.75 = 1.75: the weight is below that of 1 and of 2
  CHECK(counting.sample(logits.data(), 5, nullptr) == 1, "frequency and presence");
  CHECK(counting.candidates(5) == 2, "the likeliest, and as many as were counted");
  CHECK(counting.sample({{3 * ln2, 3}, {2 * ln2, 2}}) == 2, "frequency and presence among candidates");
  CHECK(merged({{1, 1}, {3, 1}}, {{0, 2}, {3, 2}}).size() == 3 && merged({{3, 1}}, {{3, 2}})[0].penalty == 3,
        "both lists");

  const uint32_t mask = 0b10101;
  CHECK(Sampler(1, greedy).sample(logits.data(), 5, &mask) == 2, "mask");
  const uint32_t nothing = 0;
  bool refused = false;
  try {
    Sampler(1, greedy).sample(logits.data(), 5, &nothing);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(refused, "no token allowed");

  std::vector<float> broken(100, 1.0f);
  broken[37] = std::numeric_limits<float>::quiet_NaN();
  refused = false;
  try {
    Sampler(1, greedy).sample(broken.data(), 100, nullptr);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(refused, "a logit is not a number");
  return 0;
}
