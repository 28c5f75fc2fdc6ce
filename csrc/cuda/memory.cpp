// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cuda/memory.h"

#include <atomic>

namespace tinychat::cuda {
namespace {

std::atomic<int> resets{0};

} // namespace

int device_resets() { return resets; }

void reset_device() {
  ++resets;
  cudaDeviceReset(); // answers with the error that it ends
  cudaGetLastError();
  check(cudaSetDevice(0), "starting again");
}

} // namespace tinychat::cuda
