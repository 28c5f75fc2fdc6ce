// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The portable vocabulary with tiles in plain loops, as the manual describes the instructions of AMX: what
// simd/amx.h says in assembly, for machines that have none. It proves the arithmetic around the tiles, not the assembly.
#pragma once

#include "cpu/simd/generic.h"

#define TINYCHAT_TILES

namespace {

inline void store(uint8_t* p, Bytes a) { __builtin_memcpy(p, &a, 64); }

struct Tiles {
  int32_t sums[16][16];

  void clear_sums() { __builtin_memset(sums, 0, sizeof(sums)); }
  void store_sums(I* to) { __builtin_memcpy(to, sums, sizeof(sums)); }

  template <int kColumns, bool kSignedWeights>
  void add(const int8_t* activations, size_t stride, const uint8_t* weights) {
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 16; ++n)
        for (int k = 0; k < kColumns; ++k) {
          const uint8_t weight = weights[k / 4 * 64 + 4 * n + k % 4];
          sums[m][n] += activations[m * stride + k] * (kSignedWeights ? static_cast<int8_t>(weight) : weight);
        }
  }
};

} // namespace
