// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// What libtinychat_cuda.so exports. It is opened at run time, so that a machine without CUDA needs nothing of it; the stamp
// says that both sides were built from the same sources, as C++ objects pass between them.
#pragma once

#include "decoder/backend.h"
#include "decoder/model.h"

namespace tinychat {

struct CudaOptions {
  int capacity;    // positions of a KV cache
  bool byte_cache; // keys and values as bytes
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
                                sizeof(CudaDevice);

extern "C" {
unsigned tinychat_cuda_stamp();
// Throws DeviceError, saying why, where the device cannot be used.
void tinychat_cuda_probe(CudaDevice* device);
// A new backend, the caller's; throws DeviceError, std::invalid_argument for a model that it cannot serve.
Backend* tinychat_cuda_backend(const Model& model, const CudaOptions& options);
// Bytes read and written per second by a large copy on the device.
double tinychat_cuda_copy_bandwidth();
// `shape`: a matrix without memory; weights are random.
ProductTime tinychat_cuda_time_product(const Linear& shape, int tokens);
}

} // namespace tinychat
