// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A model's weights on the device: copied in chunks through two pinned buffers, so that the processor fills one while the
// other is on its way, and no more than that is held beside the checkpoint's mapping.
#pragma once

#include <map>
#include <vector>

#include "cuda/memory.h"
#include "decoder/model.h"

namespace tinychat::cuda {

class Upload {
 public:
  explicit Upload(cudaStream_t stream);

  // The same model with device pointers; what two names share in memory is shared on the device.
  Model model(const Model& host);

  // Waits for the last copy, and hands over the memory that the model's pointers point into.
  std::vector<DeviceArray<uint8_t>> finish();

 private:
  static constexpr size_t kChunk = size_t{16} << 20;

  template <typename T>
  void move(const T*& pointer, size_t count);
  void move(Linear& w);

  cudaStream_t stream_;
  PinnedArray<uint8_t> ring_;
  cudaEvent_t copied_[2] = {};
  int next_ = 0;
  std::map<const void*, const void*> placed_;
  std::vector<DeviceArray<uint8_t>> memory_;
};

// Bytes of each part of a matrix in the layout that the kernels read.
struct LinearBytes {
  explicit LinearBytes(const Linear& w);
  size_t weight, scales = 0, mins = 0, zeros = 0, channel_scales = 0;
};

} // namespace tinychat::cuda
