// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the kernels that choose tokens are told; how many, and with which penalty, the Step says.
#pragma once

#include "cuda/primitives/forward_params.h"
#include "decoder/backend.h"

namespace tinychat::cuda {

struct Choosing {
  const Step* step;
  const float* logits;     // [vocab]
  const uint32_t* seen;    // a bit a token, where the step says that there are any
  const uint32_t* allowed; // the same
  int vocab;

  Candidate* shares; // [choice_shares(vocab)][kMostCandidates]
  // [kMostCandidates], likeliest first; minus infinity: there are no more. The first one is NaN where a logit is.
  Candidate* chosen;
};

} // namespace tinychat::cuda
