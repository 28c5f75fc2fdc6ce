// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// AVX-512 with the tile registers of AMX (Intel, Architecture Instruction Set Extensions, chapter 3): sixteen tokens times
// sixteen weight rows an instruction. The layout r16k4 is what a tile of weights must look like. In assembly: the
// intrinsics of GCC 12 do not say that they read and write memory.
#pragma once

#include "cpu/simd/avx512.h"

#define TINYCHAT_TILES

namespace {

inline void store(uint8_t* p, Bytes a) { _mm512_storeu_si512(p, a.v); }

// Tiles 0: sums [16 tokens][16 weight rows] of int32; 1, 2: 64 columns of activations [16][64] and of weights [16][16][4];
// 3, 4: 32 columns of them. Held while a value of this type lives.
struct Tiles {
  Tiles() {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 32, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 8};
    } shapes;
    asm volatile("ldtilecfg %0" ::"m"(shapes));
  }
  ~Tiles() { asm volatile("tilerelease"); }

  void clear_sums() { asm volatile("tilezero %%tmm0" ::); }
  void store_sums(I* to) { asm volatile("tilestored %%tmm0, (%0,%1,1)" ::"r"(to), "r"(64l) : "memory"); }

  // sums += activations * weights, over 64 or 32 columns; `stride` bytes from a token to the next.
  template <int kColumns, bool kSignedWeights>
  void add(const int8_t* activations, size_t stride, const uint8_t* weights) {
    if (kColumns == 64) {
      asm volatile("tileloadd (%0,%1,1), %%tmm1" ::"r"(activations), "r"(stride) : "memory");
      asm volatile("tileloadd (%0,%1,1), %%tmm2" ::"r"(weights), "r"(64l) : "memory");
      if (kSignedWeights) asm volatile("tdpbssd %%tmm2, %%tmm1, %%tmm0" ::);
      else asm volatile("tdpbsud %%tmm2, %%tmm1, %%tmm0" ::);
    } else {
      asm volatile("tileloadd (%0,%1,1), %%tmm3" ::"r"(activations), "r"(stride) : "memory");
      asm volatile("tileloadd (%0,%1,1), %%tmm4" ::"r"(weights), "r"(64l) : "memory");
      if (kSignedWeights) asm volatile("tdpbssd %%tmm4, %%tmm3, %%tmm0" ::);
      else asm volatile("tdpbsud %%tmm4, %%tmm3, %%tmm0" ::);
    }
  }
};

} // namespace
