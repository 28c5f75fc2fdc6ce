// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "bindings_cuda.h"

#include <string>

#include "bindings_model.h"
#include "decoder/cuda_library.h"

namespace py = pybind11;
using namespace py::literals;

namespace tinychat {

void bind_cuda(py::module_& m) {
  m.def(
      "cuda_device",
      [](const std::string& library) {
        const CudaDevice device = CudaLibrary(library).probe();
        return py::dict("name"_a = device.name, "compute_capability"_a = py::make_tuple(device.major, device.minor),
                        "multiprocessors"_a = device.multiprocessors, "integrated"_a = device.integrated,
                        "memory"_a = device.memory, "free_memory"_a = device.free_memory);
      },
      "library"_a, "What the CUDA library at a path finds. Raises DeviceError, saying why it cannot be used.");

  m.def(
      "cuda_copy_bandwidth", [](const std::string& library) { return CudaLibrary(library).copy_bandwidth(); },
      "library"_a, "Bytes that the device reads and writes per second in a large copy. Raises DeviceError.");
  m.def(
      "cuda_time_product",
      [](const std::string& library, const std::string& format, int rows, int cols, int group_size, int tokens) {
        Linear shape;
        shape.format = weight_format(format);
        shape.rows = rows;
        shape.cols = cols;
        shape.group = group_size > 0 ? group_size : cols;
        const ProductTime time = CudaLibrary(library).time_product(shape, tokens);
        return py::make_tuple(time.seconds, time.bytes);
      },
      "library"_a, "format"_a, "rows"_a, "cols"_a, "group_size"_a, "tokens"_a,
      "Seconds that a product with random weights takes, and the bytes that it reads and writes. Raises DeviceError.");
}

} // namespace tinychat
