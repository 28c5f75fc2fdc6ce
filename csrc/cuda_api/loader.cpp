// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "cuda_api/loader.h"

#include <dlfcn.h>

namespace tinychat {

CudaLibrary::CudaLibrary(const std::string& path) : path_(path), handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) throw DeviceError(std::string("the CUDA library cannot be opened: ") + dlerror());
  if (find<decltype(tinychat_cuda_stamp)>("tinychat_cuda_stamp")() != kCudaStamp)
    throw DeviceError(path_ + " belongs to another build; build both again: make setup");
}

template <typename Function>
Function* CudaLibrary::find(const char* name) const {
  void* symbol = dlsym(handle_, name);
  if (symbol == nullptr) throw DeviceError(path_ + " is not the CUDA library of this release: it lacks " + name);
  return reinterpret_cast<Function*>(symbol);
}

CudaDevice CudaLibrary::probe() const {
  CudaDevice device = {};
  find<decltype(tinychat_cuda_probe)>("tinychat_cuda_probe")(&device);
  return device;
}

std::unique_ptr<Backend> CudaLibrary::backend(const Model& model, const CudaOptions& options) const {
  return std::unique_ptr<Backend>(find<decltype(tinychat_cuda_backend)>("tinychat_cuda_backend")(model, options));
}

double CudaLibrary::copy_bandwidth() const {
  return find<decltype(tinychat_cuda_copy_bandwidth)>("tinychat_cuda_copy_bandwidth")();
}

GemmTime CudaLibrary::time_gemm(const Linear& shape, int num_tokens, bool int8_activations) const {
  return find<decltype(tinychat_cuda_time_gemm)>("tinychat_cuda_time_gemm")(shape, num_tokens, int8_activations);
}

} // namespace tinychat
