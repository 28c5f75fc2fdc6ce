// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// All inline PTX, each with its C++ twin for the host's SIMT shim.
#pragma once

#include <cuda_runtime.h>

#include "cuda/primitives/dtype.cuh"
#include "cuda/primitives/reduce.cuh"

#ifndef __CUDACC__
#include <deque>
#include <vector>
#endif

namespace tinychat::cuda {

// The compute capability that is compiled for, as 870; 0 on the host.
#ifdef __CUDA_ARCH__
constexpr int kArch = __CUDA_ARCH__;
#else
constexpr int kArch = 0;
#endif

// Keeps a computation where it is written. From 10.0 on, nvcc compiles with another version of LLVM (CUDA 13.0: 20 instead of
// 7), which moves computations out of loops or behind loads; their operands then take registers, and kernels spilled. The older
// LLVM needs none of this: there it would only restrict the order of instructions.
template <typename T>
__device__ inline void compute_here([[maybe_unused]] T& value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
  asm volatile("" : "+r"(value));
#endif
}

// (word & mask) | bits in one instruction; the compiler would use two, because both constants are long.
template <uint32_t kMask, uint32_t kBits>
__device__ inline uint32_t select_or(uint32_t word) {
#ifdef __CUDACC__
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(word), "n"(kMask), "r"(kBits));
  return result;
#else
  return (word & kMask) | kBits;
#endif
}

// Four of the eight bytes {b, a}, one for each hexadecimal digit of kDigits.
template <uint32_t kDigits>
__device__ inline uint32_t choose_bytes(uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  return __byte_perm(a, b, kDigits);
#else
  const uint64_t both = a | static_cast<uint64_t>(b) << 32;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) result |= static_cast<uint32_t>(both >> (kDigits >> 4 * i & 7) * 8 & 0xff) << 8 * i;
  return result;
#endif
}

// Prefetches the 16-byte units at `at` to the L2 cache; one thread does it for all (needs compute capability 9.0 and PTX 8.0,
// that is CUDA 12).
__device__ inline void prefetch([[maybe_unused]] const void* at, [[maybe_unused]] uint32_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && CUDART_VERSION >= 12000
  if (bytes >= 16)
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(at), "r"(bytes / 16 * 16) : "memory");
#endif
}

// sums += A B for one warp: A 16 x 16, B 16 x 8, both 16-bit, sums in float (mma.m16n8k16, PTX ISA 9.7.14).
// With g = lane / 4 and t = lane % 4 a lane holds
//   a[0], a[2]: row g, columns 2t, 2t+1 and 2t+8, 2t+9;  a[1], a[3]: the same of row g+8
//   b[0], b[1]: column g, rows 2t, 2t+1 and 2t+8, 2t+9
//   sums[0], sums[1]: row g, columns 2t, 2t+1;  sums[2], sums[3]: the same of row g+8
template <DType kDType>
__device__ inline void mma(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  if constexpr (kDType == DType::kFp16)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  static uint32_t all_a[32][kWarp][4], all_b[32][kWarp][2]; // [warp][lane]
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  std::memcpy(all_a[warp][lane], a, sizeof(a));
  std::memcpy(all_b[warp][lane], b, sizeof(b));
  __syncwarp();
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < 16; ++k) {
      const uint32_t wide_a = all_a[warp][4 * g + k % 8 / 2][k / 8 * 2 + i / 2];
      const uint32_t wide_b = all_b[warp][4 * (2 * t + i % 2) + k % 8 / 2][k / 8];
      sums[i] += from_dtype(static_cast<uint16_t>(wide_a >> (k % 2 * 16)), kDType) *
                 from_dtype(static_cast<uint16_t>(wide_b >> (k % 2 * 16)), kDType);
    }
  __syncwarp();
#endif
}

// The same for int8 operands and int32 sums (m16n8k16): a[0] and a[1] are columns 4t … 4t+3 of rows g and g+8, b[0] is rows
// 4t … 4t+3 of column g.
template <DType kDType>
__device__ inline void mma(int32_t (&sums)[4], const uint32_t (&a)[2], const uint32_t (&b)[1]) {
  static_assert(kDType == DType::kInt8);
#ifdef __CUDACC__
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(b[0]));
#else
  static uint32_t all_a[32][kWarp][2], all_b[32][kWarp]; // [warp][lane]
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  std::memcpy(all_a[warp][lane], a, sizeof(a));
  all_b[warp][lane] = b[0];
  __syncwarp();
  const auto byte = [](uint32_t word, int i) { return static_cast<int32_t>(static_cast<int8_t>(word >> 8 * i)); };
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < 16; ++k)
      sums[i] += byte(all_a[warp][4 * g + k / 4][i / 2], k % 4) * byte(all_b[warp][4 * (2 * t + i % 2) + k / 4], k % 4);
  __syncwarp();
#endif
}

// Loads four 8 x 8 matrices of 16-bit numbers from shared memory, transposed, so that its rows become an operand B of mma():
// `row` (16 bytes) of lane 8 m + r is row r of matrix m; a lane gets column g, rows 2t and 2t+1 (PTX ISA, ldmatrix).
__device__ inline void load_transposed(uint32_t (&words)[4], const void* row) {
#ifdef __CUDACC__
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
#else
  static const uint16_t* all_rows[32][kWarp]; // [warp][lane]
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  all_rows[warp][lane] = static_cast<const uint16_t*>(row);
  __syncwarp();
  for (int m = 0; m < 4; ++m)
    words[m] = all_rows[warp][8 * m + 2 * t][g] | static_cast<uint32_t>(all_rows[warp][8 * m + 2 * t + 1][g]) << 16;
  __syncwarp();
#endif
}

// Two fp16 numbers, rounded to nearest, ties to even, in one instruction.
__device__ inline uint32_t to_halves(float low, float high) {
#ifdef __CUDACC__
  uint32_t result;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
#else
  return to_half(low) | static_cast<uint32_t>(to_half(high)) << 16;
#endif
}

// 2^x with a relative error of 2^-22, in one instruction; subnormal results become 0.
__device__ inline float power_of_two(float x) {
#ifdef __CUDACC__
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return std::exp2(x);
#endif
}

// Copies 16 bytes to shared memory asynchronously, or writes zeros there. commit_copies() ends a group of copies;
// await_copies<n>() waits until all but the thread's latest n groups have landed. On the host a copy lands as late as that
// allows.
#ifdef __CUDACC__
__device__ inline void begin_copy(void* shared, const void* global, bool zeros) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(global), "r"(zeros ? 0 : 16)
      : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ inline void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}
#else
struct Copies {
  struct Copy {
    void* to;
    const void* from;
    bool zeros;
  };
  std::vector<Copy> begun;
  std::deque<std::vector<Copy> > batches;
};
inline Copies& copies() {
  static Copies all[1024];
  return all[threadIdx.x];
}
inline void begin_copy(void* shared, const void* global, bool zeros) {
  copies().begun.push_back({shared, global, zeros});
}
inline void commit_copies() {
  copies().batches.push_back(std::move(copies().begun));
  copies().begun.clear();
}
template <int kPending>
void await_copies() {
  for (auto& batches = copies().batches; batches.size() > kPending; batches.pop_front())
    for (const Copies::Copy& copy : batches.front())
      copy.zeros ? std::memset(copy.to, 0, 16) : std::memcpy(copy.to, copy.from, 16);
}
#endif

} // namespace tinychat::cuda
