// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Copies a model's weights to the device. Whole files are copied by the code that reads them (WeightMemory); other memory is
// copied in chunks through two pinned buffers, so that the CPU fills one while the other is being copied.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "cuda/runtime/memory.h"
#include "cuda_api/library.h"

namespace tinychat::cuda {

class Upload : public WeightMemory {
 public:
  explicit Upload(cudaStream_t stream);
  ~Upload() override;

  uint8_t* buffer(size_t size) override;
  uint8_t* allocate(const void* host, size_t size) override;
  void copy(uint8_t* to, const void* from, size_t size) override;
  void synchronize() override;

  // The same model with device pointers; memory that two tensors share stays shared.
  Model model(const Model& host);

  // Waits for the last copy and returns the memory that the model points into.
  std::vector<DeviceArray<uint8_t>> finish();

 private:
  static constexpr size_t kChunk = size_t{16} << 20;

  struct Region {
    size_t size;
    const uint8_t* device;
  };

  template <typename T>
  void move(const T*& pointer, size_t count);
  void move(Linear& w);
  void move(NormVectors& norm, size_t count);
  const uint8_t* on_device(const uint8_t* host, size_t size) const; // null: not all of it is

  const cudaStream_t stream_;
  const int resets_;
  cudaEvent_t copied_[2] = {};
  uint8_t* ring_[2] = {};
  int next_ = 0;
  std::map<const uint8_t*, Region> regions_; // by their begin on the host
  std::vector<DeviceArray<uint8_t>> memory_;
  std::vector<std::unique_ptr<HostBuffer>> buffers_;
};

// Bytes of each array of a matrix, in the layout that the kernels read.
struct LinearBytes {
  explicit LinearBytes(const Linear& w);
  size_t weight, scales = 0, mins = 0, zeros = 0, channel_scales = 0;
};

} // namespace tinychat::cuda
