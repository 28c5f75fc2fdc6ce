// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "simt.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

// Saves what a called function must keep and the stack pointer in *save, and goes on where `load` was saved. The C library
// has the same as swapcontext, but with two system calls each time, and a block waits thousands of times.
extern "C" void simt_switch(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
.text
.globl simt_switch
.hidden simt_switch
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl simt_switch
.hidden simt_switch
simt_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "the SIMT shim runs on x86-64 and aarch64"
#endif

namespace simt {
namespace {

constexpr size_t kStack = 64 << 10;
constexpr unsigned kLanes = 32;

struct Fiber {
  std::unique_ptr<char[]> stack;
  void* saved = nullptr;
  bool done = true;
  Wait waits = Wait::kNothing;
  uint64_t given = 0;
};

std::vector<Fiber> fibers;
unsigned threads, current;
void* scheduler;
const std::function<void()>* body;

void begin() {
  (*body)();
  fibers[current].done = true;
  simt_switch(&fibers[current].saved, scheduler);
  std::abort();
}

void prepare(Fiber& fiber) {
  if (fiber.stack == nullptr) fiber.stack.reset(new char[kStack]);
  auto* top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(fiber.stack.get()) + kStack) & ~uintptr_t{15});
#if defined(__x86_64__)
  *--top = nullptr; // begin() never returns
  *--top = reinterpret_cast<void*>(begin);
  top -= 6;
#else
  top -= 20;
  top[11] = reinterpret_cast<void*>(begin); // x30
#endif
  fiber.saved = top;
  fiber.done = false;
  fiber.waits = Wait::kNothing;
}

// Lets all of [first, last) go on that wait for `wait`, if none is on its way there.
bool release(unsigned first, unsigned last, Wait wait) {
  bool any = false;
  for (unsigned i = first; i < last; ++i) {
    if (fibers[i].done) continue;
    if (fibers[i].waits != wait) return false;
    any = true;
  }
  for (unsigned i = first; i < last; ++i) fibers[i].waits = Wait::kNothing;
  return any;
}

void run_block() {
  for (unsigned i = 0; i < threads; ++i) prepare(fibers[i]);
  for (bool moves = true; moves;) {
    moves = false;
    for (unsigned first = 0; first < threads; first += kLanes) {
      const unsigned last = first + kLanes < threads ? first + kLanes : threads;
      do {
        for (current = first; current < last; ++current) {
          if (fibers[current].done || fibers[current].waits != Wait::kNothing) continue;
          threadIdx = dim3(current, 0, 0);
          simt_switch(&scheduler, fibers[current].saved);
          moves = true;
        }
      } while (release(first, last, Wait::kWarp));
    }
    moves |= release(0, threads, Wait::kBlock);
  }
  for (unsigned i = 0; i < threads; ++i) {
    if (fibers[i].done) continue;
    std::fprintf(stderr, "thread %u of block (%u, %u, %u) waits for ever\n", i, blockIdx.x, blockIdx.y, blockIdx.z);
    std::abort();
  }
}

} // namespace

unsigned lane() { return current % kLanes; }

void wait(Wait wait) {
  fibers[current].waits = wait;
  simt_switch(&fibers[current].saved, scheduler);
}

uint64_t exchange(uint64_t value, unsigned lane) {
  fibers[current].given = value;
  wait(Wait::kWarp);
  const uint64_t taken = fibers[current / kLanes * kLanes + lane % kLanes].given;
  wait(Wait::kWarp);
  return taken;
}

void run(dim3 grid, dim3 block, const std::function<void()>& thread) {
  body = &thread;
  threads = block.x;
  if (fibers.size() < threads) fibers.resize(threads);
  blockDim = block;
  gridDim = grid;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(x, y, z);
        run_block();
      }
}

} // namespace simt
