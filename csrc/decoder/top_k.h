// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "decoder/forward_batch.h"

namespace tinychat {

// Orders by logit, then by the lower id. No two tokens are equal, so the order does not depend on the sorting algorithm.
inline bool likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

// Answers a request from logits [vocab].
void find_top_k(const float* logits, int vocab, TopKRequest& request);

} // namespace tinychat
