// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Cuts a batch of any size into passes that a backend can run.
#pragma once

#include <vector>

#include "decoder/backend.h"
#include "decoder/forward_batch.h"

namespace tinychat {

// Cuts a valid batch into passes as described in backend.h. No other thread may change its caches meanwhile. Where a
// sequence is cut depends on that sequence alone, so that its numbers do not depend on the other sequences. Throws
// InvalidBatch for a sequence or a span that must not be cut and is too long for the backend, and for a position that is
// not below `context_length`.
std::vector<ForwardBatch> cut_into_passes(const ForwardBatch& batch, const Backend& backend, int context_length);

// Returns the tokens of a pass that have outputs, as a batch: their rows are 0, 1, …
ForwardBatch outputs_of(const ForwardBatch& pass);

} // namespace tinychat
