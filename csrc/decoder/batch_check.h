// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "decoder/forward_batch.h"
#include "decoder/model.h"

namespace tinychat {

// Throws InvalidBatch, saying what is wrong, for a batch that ForwardBatch does not allow or that does not suit the
// model; `decoder_id`: whose caches its sequences must have.
void check_batch(const ForwardBatch& batch, const Model& model, uint64_t decoder_id);

// The same for a cache without room; the caches must not change any more.
void check_room(const ForwardBatch& batch);

} // namespace tinychat
