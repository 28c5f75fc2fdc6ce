// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "decoder/forward_batch.h"
#include "decoder/model.h"

namespace tinychat {

// Throws InvalidBatch, with the reason, for a batch that ForwardBatch does not allow or that does not match the model.
// `decoder_id`: the caches of its sequences must belong to this decoder.
void check_batch(const ForwardBatch& batch, const Model& model, uint64_t decoder_id);

// Throws InvalidBatch if a cache has no room for its new tokens. The caches must not change between this check and the
// forward pass.
void check_room(const ForwardBatch& batch);

} // namespace tinychat
