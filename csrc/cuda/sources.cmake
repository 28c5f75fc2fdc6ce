# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# What the library is made of: plain C++, and kernels that nvcc compiles (and the SIMT shim runs in tests).
set(cuda_sources)
foreach(name primitives/check runtime/build_state runtime/cuda_backend runtime/library runtime/memory runtime/pass_params
             runtime/steps
             runtime/timing runtime/upload)
  list(APPEND cuda_sources ${CMAKE_CURRENT_LIST_DIR}/${name}.cpp)
endforeach()
set(cuda_kernels)
foreach(name attention/attention elementwise/elementwise gemm/gemm_bf16 gemm/gemm_fp16 gemm/gemm_int8 runtime/device)
  list(APPEND cuda_kernels ${CMAKE_CURRENT_LIST_DIR}/${name}.cu)
endforeach()
