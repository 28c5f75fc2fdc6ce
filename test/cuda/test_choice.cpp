// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The likeliest tokens against a sort of them all.

#include <algorithm>

#include "../cpp/check.h"
#include "cuda/kernels.h"

using namespace tinychat::cuda;

namespace {

struct Logits {
  std::vector<float> values;
  std::vector<uint32_t> seen, allowed;
  float penalty = 1, temperature = 1;

  Chosen choose(int count) const {
    const int shares = choice_shares(static_cast<int>(values.size()));
    std::vector<Candidate> room(static_cast<size_t>(shares) * count);
    std::vector<float> masses(shares);
    Chosen chosen;
    tinychat::cuda::choose(
        {}, {values.data(), seen.empty() ? nullptr : seen.data(), allowed.empty() ? nullptr : allowed.data(), penalty,
             1 / temperature, static_cast<int>(values.size()), count, room.data(), masses.data(), &chosen});
    return chosen;
  }
};

void test_against_a_sort(int vocab, int count, bool adjusted) {
  std::mt19937 random(5);
  Logits logits;
  logits.values = random_floats(random, vocab, 3);
  for (int i = 0; i < 50; ++i) logits.values[random() % vocab] = 7.5f; // equals: the lowest id comes first
  logits.temperature = 0.7f;
  if (adjusted) {
    logits.penalty = 1.3f;
    for (int i = 0; i < (vocab + 31) / 32; ++i) {
      logits.seen.push_back(random());
      logits.allowed.push_back(random());
    }
  }
  std::vector<Candidate> all;
  for (int i = 0; i < vocab; ++i) {
    float value = logits.values[i];
    if (adjusted && (logits.seen[i / 32] >> (i % 32) & 1)) value = value > 0 ? value / 1.3f : value * 1.3f;
    if (!adjusted || (logits.allowed[i / 32] >> (i % 32) & 1)) all.push_back({value, i});
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  });
  double mass = 0;
  for (const Candidate& c : all) mass += std::exp((c.logit - all[0].logit) / 0.7);
  const Chosen chosen = logits.choose(count);
  for (int i = 0; i < count; ++i)
    CHECK(chosen.candidates[i].token == all[i].token && chosen.candidates[i].logit == all[i].logit,
          std::to_string(vocab) + " tokens, candidate " + std::to_string(i));
  CHECK(std::abs(chosen.mass / mass - 1) < 1e-4, "mass");
}

void test_few_allowed() {
  Logits logits{std::vector<float>(10000, 1.0f), {}, std::vector<uint32_t>(313), 1, 1};
  logits.allowed[200] = 1 << 5;
  const Chosen chosen = logits.choose(2);
  CHECK(chosen.candidates[0].token == 6405 && chosen.mass == 1, "the only one");
  CHECK(chosen.candidates[1].logit == -INFINITY, "no second one");
}

void test_not_a_number() {
  Logits logits{std::vector<float>(5000, 1.0f), {}, {}, 1, 1};
  logits.values[4321] = NAN;
  CHECK(std::isnan(logits.choose(1).mass), "NaN is told");
}

} // namespace

int main() {
  for (int vocab : {32, 4096, 32003})
    for (int count : {1, 8})
      for (bool adjusted : {false, true}) test_against_a_sort(vocab, count, adjusted);
  test_against_a_sort(50000, kMostCandidates, true);
  test_few_allowed();
  test_not_a_number();
}
