// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What a pass over some tokens is about, in device memory: a recorded graph reads it there, so that one recording serves
// every token and every cache.
#pragma once

#include <cstdint>

namespace tinychat::cuda {

constexpr int kMostCandidates = 64; // that a token may be chosen of without all logits crossing to the host
constexpr int kMaxRows = 512;       // tokens in a pass: bounds the buffers and the time until a cancel is seen

struct Step {
  uint8_t* cache;   // keys and values of the conversation
  int32_t position; // of the first token
  int32_t rows;
  int32_t candidates; // wanted of the last row
  float penalty;      // of tokens that were seen
  bool seen, allowed; // whether there is a bit a token
  int32_t tokens[kMaxRows];
};

} // namespace tinychat::cuda
