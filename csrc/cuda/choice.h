// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the kernels that choose tokens are told, and what they answer.
#pragma once

#include <cstdint>

namespace tinychat::cuda {

constexpr int kMostCandidates = 64;

struct Candidate {
  float logit;
  int32_t token;
};

struct Chosen {
  float mass; // sum of exp((logit - highest) / temperature) over all that is allowed; NaN where a logit is not a number
  Candidate candidates[kMostCandidates]; // likeliest first; minus infinity: there are no more
};

struct Choosing {
  const float* logits;     // [vocab]
  const uint32_t* seen;    // a bit a token; or null
  const uint32_t* allowed; // a bit a token; or null
  float penalty;
  float inverse_temperature;
  int vocab;
  int count; // of candidates, up to kMostCandidates

  Candidate* shares; // [shares][count]
  float* masses;     // [shares]
  Chosen* chosen;
};

} // namespace tinychat::cuda
