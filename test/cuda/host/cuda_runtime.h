// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// A CUDA runtime without a device, for tests: memory is the host's, a kernel runs in the SIMT shim, a graph is a list of
// what was captured, with its arguments as they were then. It proves arithmetic, bounds and the order of launches, not the
// ordering of memory, and it answers with the faults that TINYCHAT_FAKE_CUDA names:
//
//   no-driver, no-device, other-arch    at the first question
//   memory=BYTES                        no more than so much is to be had
//   fault=N                             the N-th launch of the process fails, and all that follows until a reset
//   integrated                          no fault: it shares the host's memory
//
// or several, with commas between them.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "simt.h"

#define CUDART_VERSION 13000

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorIllegalAddress = 700,
  cudaErrorStreamCaptureUnsupported = 900,
};

inline const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    default: return "cudaErrorOther";
  }
}
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorIllegalAddress ? "an illegal memory access was encountered" : "another error";
}

namespace fake {

using Work = std::function<void()>;

// Device memory: its end is that of a page, and before and behind its pages are some that nobody may touch, so that who
// reads or writes beyond it crashes.
class Memory {
 public:
  explicit Memory(size_t size) : size_(size), whole_((size + kPage - 1) / kPage * kPage + 2 * kPage) {
    base_ = static_cast<char*>(mmap(nullptr, whole_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    mprotect(base_ + kPage, whole_ - 2 * kPage, PROT_READ | PROT_WRITE);
    std::memset(data(), 0xff, size); // NaN wherever nothing was written
  }
  ~Memory() { munmap(base_, whole_); }
  Memory(const Memory&) = delete;

  size_t size() const { return size_; }
  void* data() const { return base_ + whole_ - kPage - (size_ + 15) / 16 * 16; }

 private:
  static constexpr size_t kPage = 4096;
  size_t size_, whole_;
  char* base_;
};

// The device and what goes wrong with it. Read anew for each process; a reset heals it, as restarting a driver does.
struct Device {
  std::string fault = std::getenv("TINYCHAT_FAKE_CUDA") ? std::getenv("TINYCHAT_FAKE_CUDA") : "";
  std::map<void*, std::unique_ptr<Memory>> memory;
  size_t used = 0;
  long launches = 0, captures = 0;
  cudaError_t sticky = cudaSuccess;
  std::vector<Work>* capture = nullptr;

  long number(const std::string& name, long otherwise) const {
    const size_t at = fault.find(name + "=");
    return at == std::string::npos ? otherwise : std::atol(fault.c_str() + at + name.size() + 1);
  }
  size_t total() const { return static_cast<size_t>(number("memory", 1l << 32)); }
  cudaError_t start() const {
    if (fault == "no-driver") return cudaErrorInsufficientDriver;
    if (fault == "no-device") return cudaErrorNoDevice;
    return sticky;
  }
  cudaError_t put(Work work) {
    if (sticky != cudaSuccess) return sticky;
    if (capture != nullptr) capture->push_back(std::move(work));
    else work();
    return sticky;
  }
  void launched() {
    if (++launches == number("fault", -1)) sticky = cudaErrorIllegalAddress;
  }
};
inline Device device;

} // namespace fake

struct Stream_ {};
using cudaStream_t = Stream_*;
struct Graph_ {
  std::vector<fake::Work> work;
};
using cudaGraph_t = Graph_*;
using cudaGraphExec_t = Graph_*;
using cudaEvent_t = int*;

enum { cudaStreamNonBlocking = 1, cudaHostAllocDefault = 0, cudaHostRegisterDefault = 0, cudaEventDisableTiming = 2 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrIntegrated = 18,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrL2CacheSize = 38,
};
enum { cudaLaunchAttributeProgrammaticStreamSerialization = 6 };

struct cudaLaunchAttribute {
  int id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
struct cudaFuncAttributes {
  int binaryVersion;
};
struct cudaDeviceProp {
  char name[256];
};

inline cudaError_t cudaGetLastError() { return fake::device.sticky; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return fake::device.start();
}
inline cudaError_t cudaSetDevice(int) { return fake::device.start(); }
inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = fake::device.fault == "no-driver" ? 0 : CUDART_VERSION;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount      ? 3
           : attribute == cudaDevAttrComputeCapabilityMajor ? 8
           : attribute == cudaDevAttrIntegrated             ? fake::device.fault.find("integrated") != std::string::npos
                                                            : 0;
  return fake::device.start();
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"the SIMT shim"};
  return fake::device.start();
}
template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  attributes->binaryVersion = 80;
  return fake::device.fault == "other-arch" ? cudaErrorNoKernelImageForDevice : fake::device.start();
}
inline cudaError_t cudaDeviceReset() {
  fake::device.memory.clear();
  fake::device.used = 0;
  fake::device.sticky = cudaSuccess;
  return cudaSuccess;
}

inline cudaError_t cudaMalloc(void** memory, size_t size) {
  fake::Device& device = fake::device;
  if (device.start() != cudaSuccess) return device.start();
  if (device.capture != nullptr) return cudaErrorStreamCaptureUnsupported;
  if (size > device.total() - device.used) return cudaErrorMemoryAllocation;
  auto made = std::make_unique<fake::Memory>(size);
  *memory = made->data();
  device.memory[*memory] = std::move(made);
  device.used += size;
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* memory) {
  const auto found = fake::device.memory.find(memory);
  if (found == fake::device.memory.end()) return memory == nullptr ? cudaSuccess : cudaErrorInvalidValue;
  fake::device.used -= found->second->size();
  fake::device.memory.erase(found);
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = fake::device.total();
  *free = *total - fake::device.used;
  return fake::device.start();
}
inline cudaError_t cudaHostAlloc(void** memory, size_t size, unsigned) {
  *memory = std::malloc(size);
  return fake::device.start();
}
inline cudaError_t cudaHostRegister(void*, size_t, unsigned) { return fake::device.start(); }
inline cudaError_t cudaHostUnregister(void*) { return cudaSuccess; }
inline cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new Stream_;
  return fake::device.start();
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return fake::device.capture != nullptr ? cudaErrorStreamCaptureUnsupported : fake::device.sticky;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind, cudaStream_t) {
  return fake::device.put([=] { std::memcpy(to, from, size); });
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t) {
  return fake::device.put([=] { std::memset(to, value, size); });
}

inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return fake::device.start();
}
inline cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return fake::device.sticky; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return fake::device.sticky; }
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return fake::device.sticky;
}

template <typename... Params>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Params... args) {
  const dim3 grid = config->gridDim, block = config->blockDim;
  return fake::device.put([=] {
    fake::device.launched();
    if (fake::device.sticky == cudaSuccess) simt::run(grid, block, [&] { kernel(args...); });
  });
}

inline cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  fake::device.capture = new std::vector<fake::Work>;
  return fake::device.sticky;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  *graph = new Graph_{std::move(*fake::device.capture)};
  delete fake::device.capture;
  fake::device.capture = nullptr;
  return fake::device.sticky;
}
inline cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new Graph_(*graph);
  ++fake::device.captures;
  return fake::device.sticky;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
  for (const fake::Work& work : graph->work) fake::device.put(work);
  return fake::device.sticky;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { return cudaGraphDestroy(graph); }
