// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What libtinychat_cuda.so exports. It is opened at run time, so that a machine without CUDA needs nothing of it; the stamp
// says that both sides were built from the same sources, as C++ objects pass between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "decoder/backend.h"
#include "decoder/model.h"

namespace tinychat {

// Where weights go on the device, for whoever reads their files. Throws DeviceError.
class WeightMemory {
 public:
  virtual ~WeightMemory() = default;
  // Pages of the host that `copy` takes from without the processor's help; they stay until all weights are placed.
  virtual uint8_t* buffer(size_t size) = 0;
  // Memory on the device for what a tensor sees at [host, host + size): tensors there are read from it.
  virtual uint8_t* allocate(const void* host, size_t size) = 0;
  // Begins to copy to an address in that memory.
  virtual void copy(uint8_t* to, const void* from, size_t size) = 0;
  // Waits until all is copied.
  virtual void synchronize() = 0;
};

struct CudaOptions {
  int capacity;          // positions of a KV cache
  bool byte_cache;       // keys and values as bytes
  bool byte_activations; // what is multiplied with weights of 8 bits
  // Copies files of weights to the device, whenever that is set up: at first, and anew after a failure. Where it is empty,
  // and for tensors that it leaves out, the weights are copied from where the tensors point to.
  std::function<void(WeightMemory&)> place_files;
};

struct CudaDevice {
  char name[256];
  int major, minor, multiprocessors;
  bool integrated; // shares the host's memory
  size_t memory, free_memory;
};

struct ProductTime {
  double seconds; // of one launch among many
  double bytes;   // read and written: the least that there is
};

// Changes with every type that passes.
constexpr unsigned kCudaStamp = 1u << 24 ^ sizeof(ModelConfig) << 16 ^ sizeof(Layer) << 6 ^ sizeof(Linear) ^
                                sizeof(CudaDevice) ^ sizeof(CudaOptions) << 20 ^ sizeof(ForwardBatch) << 12 ^
                                sizeof(TopKRequest) << 4;

extern "C" {
unsigned tinychat_cuda_stamp();
// Throws DeviceError, saying why, where the device cannot be used.
void tinychat_cuda_probe(CudaDevice* device);
// A new backend, the caller's; throws DeviceError, std::invalid_argument for a model that it cannot serve.
Backend* tinychat_cuda_backend(const Model& model, const CudaOptions& options);
// Bytes read and written per second by a large copy on the device.
double tinychat_cuda_copy_bandwidth();
// `shape`: a matrix without memory; weights are random. `bytes`: tokens are.
ProductTime tinychat_cuda_time_product(const Linear& shape, int tokens, bool bytes);
}

} // namespace tinychat
