# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# What the library is made of: plain C++, and kernels that nvcc compiles (and the SIMT shim runs in tests).
set(cuda_sources)
foreach(name build_state check cuda_backend cuda_steps library memory timing upload)
  list(APPEND cuda_sources ${CMAKE_CURRENT_LIST_DIR}/${name}.cpp)
endforeach()
set(cuda_kernels)
foreach(name attention device elementwise product_bf16 product_bytes product_half)
  list(APPEND cuda_kernels ${CMAKE_CURRENT_LIST_DIR}/${name}.cu)
endforeach()
