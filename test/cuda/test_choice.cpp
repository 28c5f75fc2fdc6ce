// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The likeliest tokens against a sort of them all.

#include <algorithm>

#include "../cpp/check.h"
#include "cuda/elementwise/elementwise.h"

using namespace tinychat::cuda;
using tinychat::Candidate;

namespace {

struct Logits {
  std::vector<float> values;
  std::vector<uint32_t> seen, allowed;
  float penalty = 1;

  std::vector<Candidate> choose(int count) const {
    const int vocab = static_cast<int>(values.size());
    std::vector<Candidate> shares(static_cast<size_t>(choice_shares(vocab)) * kMostCandidates), chosen(kMostCandidates);
    Step step = {};
    step.candidates = count;
    step.penalty = penalty;
    step.seen = !seen.empty();
    step.allowed = !allowed.empty();
    tinychat::cuda::choose({},
                           {&step, values.data(), seen.data(), allowed.data(), vocab, shares.data(), chosen.data()});
    return chosen;
  }
};

void test_against_a_sort(int vocab, int count, bool adjusted) {
  std::mt19937 random(5);
  Logits logits;
  logits.values = random_floats(random, vocab, 3);
  for (int i = 0; i < 50; ++i) logits.values[random() % vocab] = 7.5f; // equals: the lowest id comes first
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
  const auto chosen = logits.choose(count);
  for (int i = 0; i < count; ++i)
    CHECK(chosen[i].token == all[i].token && chosen[i].logit == all[i].logit,
          std::to_string(vocab) + " tokens, candidate " + std::to_string(i));
}

void test_few_allowed() {
  Logits logits{std::vector<float>(10000, 1.0f), {}, std::vector<uint32_t>(313), 1};
  logits.allowed[200] = 1 << 5;
  const auto chosen = logits.choose(2);
  CHECK(chosen[0].token == 6405 && chosen[0].logit == 1, "the only one");
  CHECK(chosen[1].logit == -INFINITY, "no second one");
}

void test_not_a_number() {
  Logits logits{std::vector<float>(5000, 1.0f), {}, {}, 1};
  logits.values[4321] = NAN;
  CHECK(std::isnan(logits.choose(2)[0].logit), "NaN is told");
  logits.allowed.assign(157, 0xffffffffu);
  logits.allowed[4321 / 32] ^= 1u << 4321 % 32;
  CHECK(logits.choose(2)[0].logit == 1, "where it is allowed");
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
