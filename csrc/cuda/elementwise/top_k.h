// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Arguments of the top-k kernels.
#pragma once

#include "cuda/primitives/forward_params.h"
#include "decoder/forward_batch.h"

namespace tinychat::cuda {

struct TopKArgs {
  const OutputParams* outputs; // [num_outputs]: how many candidates, and with which penalty
  const float* logits;         // [num_outputs][vocab]
  const uint32_t* seen;        // [num_outputs][ceil(vocab / 32)], a bit a token, where OutputParams::has_seen
  const uint32_t* allowed;     // the same
  int vocab;

  Candidate* partial_top_k; // [num_outputs][top_k_partials(vocab)][kMaxTopK]
  // [num_outputs][kMaxTopK], likeliest first; minus infinity: there are no more. The first one is NaN where a logit is.
  Candidate* found;
};

} // namespace tinychat::cuda
