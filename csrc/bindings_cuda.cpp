// Copyright 2026 The TinyChat for ROS 2 authors
// SPDX-License-Identifier: Apache-2.0

#include "bindings_cuda.h"

#include <memory>
#include <string>

#include "bindings_model.h"
#include "cuda_api/loader.h"

namespace py = pybind11;
using namespace py::literals;

namespace tinychat {

std::function<void(WeightMemory&)> placing(const py::object& function) {
  if (function.is_none()) return {};
  // Copies of it may be destroyed without the GIL.
  const std::shared_ptr<py::object> held(new py::object(function), [](py::object* object) {
    const py::gil_scoped_acquire acquire;
    delete object;
  });
  return [held](WeightMemory& memory) {
    const py::gil_scoped_acquire acquire;
    (*held)(py::cast(&memory, py::return_value_policy::reference));
  };
}

void bind_cuda(py::module_& m) {
  py::class_<WeightMemory>(m, "WeightMemory", "Receives files of weights on a device. All methods raise DeviceError.")
      .def(
          "buffer",
          [](WeightMemory& memory, size_t size) { return py::memoryview::from_memory(memory.buffer(size), size); },
          "size"_a, "Pinned memory for `copy`; it ends when all weights are on the device.")
      .def(
          "allocate",
          [](WeightMemory& memory, const py::buffer& mapping) {
            const py::buffer_info info = mapping.request();
            return reinterpret_cast<uintptr_t>(memory.allocate(info.ptr, static_cast<size_t>(info.size)));
          },
          "mapping"_a, "Device memory that replaces a mapping: its tensors are read from there.")
      .def(
          "copy",
          [](WeightMemory& memory, uintptr_t handle, size_t offset, const py::buffer& chunk) {
            const py::buffer_info info = chunk.request();
            const py::gil_scoped_release release;
            memory.copy(reinterpret_cast<uint8_t*>(handle) + offset, info.ptr, static_cast<size_t>(info.size));
          },
          "handle"_a, "offset"_a, "chunk"_a, "Start to copy a chunk into what `allocate` returned.")
      .def("synchronize", &WeightMemory::synchronize, py::call_guard<py::gil_scoped_release>(), "Wait for all copies.");

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
      "cuda_time_gemm",
      [](const std::string& library, const std::string& format, int rows, int cols, int group_size, int tokens,
         bool int8_activations) {
        Linear shape;
        shape.format = weight_format(format);
        shape.rows = rows;
        shape.cols = cols;
        shape.group = group_size > 0 ? group_size : cols;
        const GemmTime time = CudaLibrary(library).time_gemm(shape, tokens, int8_activations);
        return py::make_tuple(time.seconds, time.bytes);
      },
      "library"_a, "format"_a, "rows"_a, "cols"_a, "group_size"_a, "tokens"_a, "int8_activations"_a = false,
      "Seconds that a GEMM with random weights takes, and the bytes that it reads and writes; `int8_activations`: its "
      "tokens are int8. Raises DeviceError.");
}

} // namespace tinychat
