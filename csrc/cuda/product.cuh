// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What the products y = W x of one and of many tokens share: a tile of 16 weight rows is one operand of the tensor cores,
// 8 tokens are the other.
//
// The layout is the CPU's. In it a step of columns of all 16 rows of a tile is 64 bytes, and a lane takes 8 of them: two
// neighbouring rows. Which rows and columns of the tensor cores' matrices those are is free, as long as both operands agree:
// so a warp reads 256 contiguous bytes at a time, front to back, and straight into the operand's registers. The columns of a
// lane are neighbours in the tokens, too: they come in one load, where others need ldmatrix.
#pragma once

#include "cuda/kernels.h"
#include "cuda/overlap.cuh"
#include "cuda/pair.cuh"
#include "cuda/ptx.h"

namespace tinychat::cuda {

constexpr int kProductThreads = 256, kProductWarps = kProductThreads / kWarp;

// What a lane loads at once: its two rows of `kSpan` columns, of which `kColumns` are its own. expand() makes the operands
// of kProducts multiplications of it, tokens() the other operands for the same columns. Where one token is
// decoded, a warp has `kAhead` stretches of weights on their way.
template <Number kNumber>
struct Four {
  static constexpr int kSpan = 32, kProducts = 2, kAhead = 2;
  static constexpr int kColumns = 8, kColumnBytes = 8; // columns of a lane; bytes of a tile's column
  using Load = uint2;

  // The lane's place in the first columns of a tile; a later column lies kColumnBytes times as far behind it.
  __device__ static int place(int g, int t) { return 64 * t + 8 * g; }
  __device__ static Load load(const uint8_t* at) { return __ldcs(reinterpret_cast<const uint2*>(at)); }
  __device__ static void expand(const Load& load, const Zero<kNumber> (&zeros)[2], uint32_t (&a)[kProducts][4]) {
#pragma unroll
    for (int i = 0; i < 2; ++i) { // columns 0 and 2, 1 and 3; 4 and 6, 5 and 7
      a[0][2 * i] = from_low_nibbles<kNumber>(load.x >> 8 * i, zeros[0]);
      a[0][2 * i + 1] = from_low_nibbles<kNumber>(load.y >> 8 * i, zeros[1]);
      a[1][2 * i] = from_high_nibbles<kNumber>(load.x >> 8 * i, zeros[0]);
      a[1][2 * i + 1] = from_high_nibbles<kNumber>(load.y >> 8 * i, zeros[1]);
    }
  }
  // The same columns of a token: x points to the lane's 8.
  __device__ static void tokens(const uint16_t* x, uint32_t (&b)[kProducts][2]) {
    const uint4 eight = *reinterpret_cast<const uint4*>(x);
    b[0][0] = low_halves(eight.x, eight.y);
    b[0][1] = high_halves(eight.x, eight.y);
    b[1][0] = low_halves(eight.z, eight.w);
    b[1][1] = high_halves(eight.z, eight.w);
  }
};

template <Number kNumber>
struct Eight {
  static constexpr int kSpan = 16, kProducts = 1, kAhead = 1;
  static constexpr int kColumns = 4, kColumnBytes = 16;
  using Load = uint2;

  __device__ static int place(int g, int t) { return 64 * t + 8 * g; }
  __device__ static Load load(const uint8_t* at) { return __ldcs(reinterpret_cast<const uint2*>(at)); }
  __device__ static void expand(const Load& load, const Zero<kNumber> (&)[2], uint32_t (&a)[kProducts][4]) {
    a[0][0] = from_bytes<kNumber>(load.x);
    a[0][1] = from_bytes<kNumber>(load.y);
    a[0][2] = from_bytes<kNumber>(load.x >> 8);
    a[0][3] = from_bytes<kNumber>(load.y >> 8);
  }
  __device__ static void tokens(const uint16_t* x, uint32_t (&b)[kProducts][2]) {
    const uint2 four = *reinterpret_cast<const uint2*>(x);
    b[0][0] = low_halves(four.x, four.y);
    b[0][1] = high_halves(four.x, four.y);
  }
};

// 16-bit numbers lie column by column: two rows are 4 bytes, and a lane's four columns are four loads.
template <Number kNumber>
struct Sixteen {
  static constexpr int kSpan = 16, kProducts = 1, kAhead = 1;
  static constexpr int kColumns = 4, kColumnBytes = 32;
  using Load = uint4;

  __device__ static int place(int g, int t) { return 128 * t + 4 * g; }
  __device__ static Load load(const uint8_t* at) {
    const auto* rows = reinterpret_cast<const uint32_t*>(at);
    return Load{__ldcs(rows), __ldcs(rows + 8), __ldcs(rows + 16), __ldcs(rows + 24)};
  }
  __device__ static void expand(const Load& load, const Zero<kNumber> (&)[2], uint32_t (&a)[kProducts][4]) {
    a[0][0] = low_halves(load.x, load.y);
    a[0][1] = high_halves(load.x, load.y);
    a[0][2] = low_halves(load.z, load.w);
    a[0][3] = high_halves(load.z, load.w);
  }
  __device__ static void tokens(const uint16_t* x, uint32_t (&b)[kProducts][2]) {
    const uint2 four = *reinterpret_cast<const uint2*>(x);
    b[0][0] = four.x;
    b[0][1] = four.y;
  }
};

} // namespace tinychat::cuda
