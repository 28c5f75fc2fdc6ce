// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Device memory, pinned memory, streams and graphs that free themselves.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "cuda/primitives/check.h"

namespace tinychat::cuda {

// How often the device has been reset. Resources from before a reset are gone; their addresses may be in use again.
int device_resets();

// Frees everything that this process has on the device, to recover from a sticky error.
void reset_device();

struct FreeDevice {
  int resets = 0;
  void operator()(void* memory) const {
    if (resets == device_resets()) cudaFree(memory);
  }
};
struct FreePinned {
  int resets = 0;
  void operator()(void* memory) const {
    if (resets == device_resets()) cudaFreeHost(memory);
  }
};
struct FreeStream {
  int resets = 0;
  void operator()(cudaStream_t stream) const {
    if (resets == device_resets()) cudaStreamDestroy(stream);
  }
};
struct FreeGraph {
  int resets = 0;
  void operator()(cudaGraphExec_t graph) const {
    if (resets == device_resets()) cudaGraphExecDestroy(graph);
  }
};

template <typename T>
using DeviceArray = std::unique_ptr<T[], FreeDevice>;
template <typename T>
using PinnedArray = std::unique_ptr<T[], FreePinned>;
using Stream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, FreeStream>;
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, FreeGraph>;

// `what_for` completes "not enough memory for …".
template <typename T>
DeviceArray<T> device_array(size_t count, const char* what_for) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, count * sizeof(T)), what_for);
  return DeviceArray<T>(static_cast<T*>(memory), FreeDevice{device_resets()});
}

template <typename T>
PinnedArray<T> pinned_array(size_t count) {
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, count * sizeof(T), cudaHostAllocDefault), "pinned buffers");
  return PinnedArray<T>(static_cast<T*>(memory), FreePinned{device_resets()});
}

// Host pages that the device copies from directly. They are anonymous pages registered with the driver: unlike memory from
// cudaHostAlloc, direct I/O can always read a file into them.
class HostBuffer {
 public:
  explicit HostBuffer(size_t size);
  ~HostBuffer();
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;

  uint8_t* data() const { return memory_; }

 private:
  uint8_t* memory_;
  size_t size_;
  int resets_;
  bool registered_; // otherwise the driver copies more slowly
};

inline Stream new_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return Stream(stream, FreeStream{device_resets()});
}

} // namespace tinychat::cuda
