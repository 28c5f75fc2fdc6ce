// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Opens libtinychat_cuda.so at run time: without it, or without a device, everything else works.
#pragma once

#include <memory>
#include <string>

#include "cuda_api/library.h"

namespace tinychat {

class CudaLibrary {
 public:
  // Throws DeviceError, saying why, where the file at `path` cannot be opened or belongs to another build.
  explicit CudaLibrary(const std::string& path);

  // Throws DeviceError, saying why, where there is no device that it can use.
  CudaDevice probe() const;
  // Throws DeviceError, and std::invalid_argument for a model that it does not serve.
  std::unique_ptr<Backend> backend(const Model& model, const CudaOptions& options) const;
  // Bytes read and written per second by a large copy on the device.
  double copy_bandwidth() const;
  GemmTime time_gemm(const Linear& shape, int num_tokens, bool int8_activations) const;

 private:
  template <typename Function>
  Function* find(const char* name) const;

  std::string path_;
  void* handle_; // never closed: backends and caches live in it
};

} // namespace tinychat
