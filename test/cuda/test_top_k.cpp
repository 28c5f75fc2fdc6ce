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
    // As the second of two outputs, the first of which asks for nothing and has no numbers.
    const auto second = [](const auto& row, auto filler, size_t size) {
      auto rows = row;
      rows.insert(rows.begin(), size, filler);
      return rows;
    };
    const std::vector<float> logits = second(values, NAN, vocab);
    const auto seen_rows = second(seen, 0u, (vocab + 31) / 32), allowed_rows = second(allowed, 0u, (vocab + 31) / 32);
    std::vector<Candidate> partial_top_k(2 * static_cast<size_t>(top_k_partials(vocab)) * kMaxTopK);
    std::vector<Candidate> found(2 * kMaxTopK, Candidate{5, 7});
    const OutputParams outputs[2] = {{0, 0, 1, false, false}, {1, count, penalty, !seen.empty(), !allowed.empty()}};
    tinychat::cuda::top_k(
        {}, {outputs, logits.data(), seen_rows.data(), allowed_rows.data(), vocab, partial_top_k.data(), found.data()},
        2);
    for (int i = 0; i < kMaxTopK; ++i) CHECK(found[i].token == 7, "an output that asks for nothing");
    return {found.begin() + kMaxTopK, found.end()};
  }
};

void test_against_a_sort(int vocab, int count, bool apply_penalty_and_mask) {
  std::mt19937 random(5);
  Logits logits;
  logits.values = random_floats(random, vocab, 3);
  for (int i = 0; i < 50; ++i) logits.values[random() % vocab] = 7.5f; // equals: the lowest id comes first
  if (apply_penalty_and_mask) {
    logits.penalty = 1.3f;
    for (int i = 0; i < (vocab + 31) / 32; ++i) {
      logits.seen.push_back(random());
      logits.allowed.push_back(random());
    }
  }
  std::vector<Candidate> all;
  for (int i = 0; i < vocab; ++i) {
    float value = logits.values[i];
    if (apply_penalty_and_mask && (logits.seen[i / 32] >> (i % 32) & 1))
      value = value > 0 ? value / 1.3f : value * 1.3f;
    if (!apply_penalty_and_mask || (logits.allowed[i / 32] >> (i % 32) & 1)) all.push_back({value, i});
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  });
  const auto found = logits.choose(count);
  for (int i = 0; i < count; ++i)
    CHECK(found[i].token == all[i].token && found[i].logit == all[i].logit,
          std::to_string(vocab) + " tokens, candidate " + std::to_string(i));
}

void test_few_allowed() {
  Logits logits{std::vector<float>(10000, 1.0f), {}, std::vector<uint32_t>(313), 1};
  logits.allowed[200] = 1 << 5;
  const auto found = logits.choose(2);
  CHECK(found[0].token == 6405 && found[0].logit == 1, "the only one");
  CHECK(found[1].logit == -INFINITY, "no second one");
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
      for (bool apply_penalty_and_mask : {false, true}) test_against_a_sort(vocab, count, apply_penalty_and_mask);
  test_against_a_sort(50000, kMaxTopK, true);
  test_few_allowed();
  test_not_a_number();
}
