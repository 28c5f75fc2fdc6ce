// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0
//
// Times GEMMs and the memory of the device: launches back to back in a graph, over enough copies of the weights that none is
// found in the L2 cache.

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include "cuda/gemm/gemm.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/upload.h"
#include "cuda_api/library.h"

namespace tinychat::cuda {
namespace {

constexpr int kRounds = 9;

// Median seconds of kRounds runs of `work`, after a warm-up.
double time_work(const LaunchContext& context, const std::function<void()>& work) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "timing");
  check(cudaEventCreate(&end), "timing");
  std::vector<float> times;
  for (int round = 0; round <= kRounds; ++round) {
    check(cudaEventRecord(begin, context.stream), "timing");
    work();
    check(cudaEventRecord(end, context.stream), "timing");
    check(cudaEventSynchronize(end), "timing");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "timing");
    if (round > 0) times.push_back(milliseconds);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2] * 1e-3;
}

// The same for launches that are captured once.
double time_graph(const LaunchContext& context, const std::function<void()>& launches) {
  check(cudaStreamBeginCapture(context.stream, cudaStreamCaptureModeThreadLocal), "timing");
  launches();
  cudaGraph_t captured = nullptr;
  check(cudaStreamEndCapture(context.stream, &captured), "timing");
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiateWithFlags(&executable, captured, 0), "timing");
  const Graph graph(executable, FreeGraph{device_resets()});
  cudaGraphDestroy(captured);
  return time_work(context, [&] { check(cudaGraphLaunch(graph.get(), context.stream), "timing"); });
}

LaunchContext context_of(const Stream& stream) {
  CudaDevice device;
  tinychat_cuda_probe(&device);
  return {stream.get(), supports_pdl(device), device.multiprocessors};
}

// Random bytes: with zeros the device draws less power and runs faster.
void fill(uint8_t* memory, size_t bytes, cudaStream_t stream) {
  std::mt19937 random(0);
  std::vector<uint32_t> noise(1 << 20);
  for (uint32_t& word : noise) word = static_cast<uint32_t>(random()) & 0xbfffbfff; // no NaN, no infinity in 16 bits
  const size_t chunk = noise.size() * 4;
  for (size_t done = 0; done < bytes; done += chunk)
    check(cudaMemcpyAsync(memory + done, noise.data(), std::min(chunk, bytes - done), cudaMemcpyHostToDevice, stream),
          "timing");
  check(cudaStreamSynchronize(stream), "timing");
}

} // namespace
} // namespace tinychat::cuda

extern "C" {

__attribute__((visibility("default"))) double tinychat_cuda_copy_bandwidth() {
  using namespace tinychat::cuda;
  const Stream stream = new_stream();
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "timing");
  const size_t bytes = std::min(size_t{1} << 30, free / 4);
  const auto from = device_array<uint8_t>(bytes, "timing"), to = device_array<uint8_t>(bytes, "timing");
  fill(from.get(), bytes, stream.get());
  // Not captured: in a graph a copy is slower.
  const double seconds = time_work(context_of(stream), [&] {
    check(cudaMemcpyAsync(to.get(), from.get(), bytes, cudaMemcpyDeviceToDevice, stream.get()), "timing");
  });
  return 2.0 * static_cast<double>(bytes) / seconds;
}

__attribute__((visibility("default"))) tinychat::GemmTime tinychat_cuda_time_gemm(const tinychat::Linear& shape,
                                                                                  int num_tokens,
                                                                                  bool int8_activations) {
  using namespace tinychat::cuda;
  const Stream stream = new_stream();
  const LaunchContext context = context_of(stream);
  tinychat::Linear w = shape;
  // The format decides which arrays exist, as in a checkpoint. The pointers only tell LinearBytes that they do.
  const bool four = w.format == tinychat::WeightFormat::kW4Zero || w.format == tinychat::WeightFormat::kW4Min;
  const auto* there = reinterpret_cast<const uint16_t*>(&shape);
  if (four || w.format == tinychat::WeightFormat::kW8Group) w.scales = there;
  if (w.format == tinychat::WeightFormat::kW4Min) w.mins = there;
  if (w.format == tinychat::WeightFormat::kW4Zero) w.zeros = reinterpret_cast<const uint8_t*>(there);
  if (w.format == tinychat::WeightFormat::kW8Channel) w.channel_scales = reinterpret_cast<const float*>(there);
  const LinearBytes part(w);
  const auto round = [](size_t bytes) { return (bytes + 255) / 256 * 256; };
  const size_t copy = round(part.weight) + round(part.scales) + round(part.mins) + round(part.zeros) +
                      round(part.channel_scales);
  int l2 = 0;
  check(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, 0), "timing");
  const int copies = static_cast<int>(std::max<size_t>(4, 4 * static_cast<size_t>(l2) / copy + 1));
  const auto weights = device_array<uint8_t>(copy * copies, "timing");
  const auto x = device_array<uint8_t>(size_t{2} * num_tokens * w.cols, "timing");
  const size_t x_groups = int8_activations ? static_cast<size_t>(num_tokens) * (w.cols / w.group) : 1;
  const auto x_scales = device_array<float>(x_groups, "timing");
  const auto out = device_array<float>(static_cast<size_t>(num_tokens) * w.rows, "timing");
  fill(weights.get(), copy * copies, stream.get());
  fill(x.get(), size_t{2} * num_tokens * w.cols, stream.get());
  fill(reinterpret_cast<uint8_t*>(x_scales.get()), x_groups * sizeof(float), stream.get());

  const int launches = std::max(copies, 32);
  const auto dtype = int8_activations                            ? DType::kInt8
                     : w.format == tinychat::WeightFormat::kBf16 ? DType::kBf16
                                                                 : DType::kFp16;
  const double seconds = time_graph(context, [&] {
    for (int i = 0; i < launches; ++i) {
      const uint8_t* memory = weights.get() + copy * (i % copies);
      const auto next = [&](size_t bytes) {
        const uint8_t* at = bytes == 0 ? nullptr : memory;
        memory += round(bytes);
        return at;
      };
      w.weight = next(part.weight);
      w.scales = reinterpret_cast<const uint16_t*>(next(part.scales));
      w.mins = reinterpret_cast<const uint16_t*>(next(part.mins));
      w.zeros = next(part.zeros);
      w.channel_scales = reinterpret_cast<const float*>(next(part.channel_scales));
      gemm(context, {w, x.get(), dtype, num_tokens, out.get(), false, {}, {}, x_scales.get()});
    }
  });
  const size_t read = part.weight + part.scales + part.mins + part.zeros + part.channel_scales;
  return {seconds / launches, static_cast<double>(read + (int8_activations ? 1 : size_t{2}) * num_tokens * w.cols +
                                                  size_t{4} * num_tokens * w.rows)};
}
}
