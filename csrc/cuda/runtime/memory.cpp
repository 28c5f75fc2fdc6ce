// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cuda/runtime/memory.h"

#include <sys/mman.h>

#include <atomic>
#include <new>

namespace tinychat::cuda {
namespace {

std::atomic<int> resets{0};

} // namespace

int device_resets() { return resets; }

void reset_device() {
  ++resets;
  cudaDeviceReset(); // returns the error that it clears
  cudaGetLastError();
  check(cudaSetDevice(0), "starting again");
}

HostBuffer::HostBuffer(size_t size) : size_(size), resets_(device_resets()) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<uint8_t*>(memory);
  madvise(memory, size, MADV_HUGEPAGE); // fewer segments in a direct read
  registered_ = cudaHostRegister(memory, size, cudaHostRegisterDefault) == cudaSuccess;
  if (!registered_) cudaGetLastError();
}

HostBuffer::~HostBuffer() {
  if (registered_ && resets_ == device_resets()) cudaHostUnregister(memory_);
  munmap(memory_, size_);
}

} // namespace tinychat::cuda
