// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// How a batch of any size becomes passes that a backend can run.
#pragma once

#include <vector>

#include "decoder/backend.h"
#include "decoder/forward_batch.h"

namespace tinychat {

// Cuts a valid batch, whose caches nobody else changes, into passes as backend.h says. Where a sequence is cut depends on
// that sequence alone, so that its numbers do not depend on the others. Throws InvalidBatch for a sequence or a
// span that cannot be cut and is too long for the backend.
std::vector<ForwardBatch> cut_into_passes(const ForwardBatch& batch, const Backend& backend);

// The batch that remains of a pass when its rows of `outputs` have become rows 0, 1, …
ForwardBatch outputs_of(const ForwardBatch& pass);

} // namespace tinychat
