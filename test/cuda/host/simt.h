// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// The words of CUDA C++ on the host, for tests: a block's threads are fibers that one core runs in turn, and blocks follow
// each other. A thread runs until a barrier or a shuffle, so arithmetic, indices and the placing of barriers are tested;
// that memory written by one thread is seen by another, and when, is not.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __shared__ static // blocks follow each other
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace simt {

// Runs `thread` once for every thread of every block. Blocks have one dimension. Aborts where threads wait for each other
// for ever.
void run(dim3 grid, dim3 block, const std::function<void()>& thread);

enum class Wait { kNothing, kWarp, kBlock };
void wait(Wait wait);

// Gives `value` to the other lanes, and takes what the lane `lane` has given.
uint64_t exchange(uint64_t value, unsigned lane);
unsigned lane();

template <typename T>
T exchanged(T value, unsigned lane) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchange(bits, lane);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

} // namespace simt

inline void __syncthreads() { simt::wait(simt::Wait::kBlock); }
inline void __syncwarp(unsigned = 0xffffffff) { simt::wait(simt::Wait::kWarp); }
inline void __threadfence() {}

template <typename T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
  return simt::exchanged(value, simt::lane() ^ mask);
}
template <typename T>
T __shfl_sync(unsigned, T value, unsigned lane) {
  return simt::exchanged(value, lane);
}

// No other thread runs in between.
template <typename T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to += value;
  return before;
}

inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

template <typename T>
T __ldcs(const T* from) {
  return *from;
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
