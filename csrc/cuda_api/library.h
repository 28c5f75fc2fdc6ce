// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What libtinychat_cuda.so exports. It is opened at run time, so that a machine without CUDA does not need it. C++ objects pass
// between the library and the module, so a stamp checks that both were built from the same sources.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "decoder/backend.h"
#include "decoder/model.h"

namespace tinychat {

// Receives weights on the device from the code that reads their files. Methods throw DeviceError.
class WeightMemory {
 public:
  virtual ~WeightMemory() = default;
  // Pinned host memory for fast copies; it stays valid until all weights are on the device.
  virtual uint8_t* buffer(size_t size) = 0;
  // Device memory that replaces [host, host + size): tensors in that range are read from it.
  virtual uint8_t* allocate(const void* host, size_t size) = 0;
  // Starts a copy to an address in that memory.
  virtual void copy(uint8_t* to, const void* from, size_t size) = 0;
  // Waits for all copies.
  virtual void synchronize() = 0;
};

struct CudaOptions {
  int capacity;          // tokens of a KV cache
  bool int8_kv_cache;    // instead of fp16
  bool int8_activations; // of matrices with 8-bit weights (W8A8), instead of 16 bits
  // Copies files of weights to the device each time the device is set up: at the start, and after a failure. Tensors that it
  // does not cover, or all if it is empty, are copied from the memory that they point to.
  std::function<void(WeightMemory&)> place_files;
};

struct CudaDevice {
  char name[256];
  int major, minor, multiprocessors;
  bool integrated; // shares DRAM with the CPU
  size_t memory, free_memory;
};

struct GemmTime {
  double seconds; // of one launch among many
  double bytes;   // read and written at least
};

// Changes with the size of every type that crosses the boundary; the first number counts changes of their virtual functions.
constexpr unsigned kCudaStamp = 4u << 24 ^ sizeof(ModelConfig) << 16 ^ sizeof(Layer) << 6 ^ sizeof(Linear) ^
                                sizeof(CudaDevice) ^ sizeof(CudaOptions) << 20 ^ sizeof(ForwardBatch) << 12 ^
                                sizeof(TopKRequest) << 4 ^ sizeof(Sequence) << 8 ^ sizeof(OutputRequest) << 10;

extern "C" {
unsigned tinychat_cuda_stamp();
// Throws DeviceError, saying why, where the device cannot be used.
void tinychat_cuda_probe(CudaDevice* device);
// A new backend, owned by the caller. Throws DeviceError; std::invalid_argument for a model that it does not serve.
Backend* tinychat_cuda_backend(const Model& model, const CudaOptions& options);
// Bytes read and written per second by a large copy on the device.
double tinychat_cuda_copy_bandwidth();
// `shape`: a matrix without memory; weights and tokens are random.
GemmTime tinychat_cuda_time_gemm(const Linear& shape, int num_tokens, bool int8_activations);
}

} // namespace tinychat
