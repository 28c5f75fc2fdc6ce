// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cuda_api/library.h"

#include <cstring>

#include "cuda/primitives/check.h"
#include "cuda/runtime/cuda_backend.h"
#include "cuda/runtime/device.h"

using tinychat::cuda::check;

extern "C" {

__attribute__((visibility("default"))) unsigned tinychat_cuda_stamp() { return tinychat::kCudaStamp; }

__attribute__((visibility("default"))) void tinychat_cuda_probe(tinychat::CudaDevice* device) {
  int count = 0;
  check(cudaGetDeviceCount(&count), "looking for a device");
  check(cudaSetDevice(0), "opening the device");
  const auto attribute = [](cudaDeviceAttr name) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, name, 0), "asking the device");
    return value;
  };
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "asking the device");
  static_assert(sizeof(device->name) == sizeof(properties.name));
  std::memcpy(device->name, properties.name, sizeof(device->name));
  device->major = attribute(cudaDevAttrComputeCapabilityMajor);
  device->minor = attribute(cudaDevAttrComputeCapabilityMinor);
  device->multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
  device->integrated = attribute(cudaDevAttrIntegrated) != 0;
  tinychat::cuda::check_code();
  check(cudaMemGetInfo(&device->free_memory, &device->memory), "asking the device");
}

__attribute__((visibility("default"))) tinychat::Backend* tinychat_cuda_backend(const tinychat::Model& model,
                                                                                const tinychat::CudaOptions& options) {
  return new tinychat::cuda::CudaBackend(model, options);
}
}
