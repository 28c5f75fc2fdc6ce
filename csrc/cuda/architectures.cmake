# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# Sets `out` to what nvcc is told to compile for. `archs`: native, all, or a list as 80;87, of which it takes those that nvcc
# knows; where that is none, it stops.
function(tinychat_cuda_code out nvcc archs)
  if(archs STREQUAL "native")
    set(${out} -arch=native PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND ${nvcc} --list-gpu-arch OUTPUT_VARIABLE listed)
  string(REGEX MATCHALL "[0-9]+[a-z]?" known "${listed}")
  set(wanted ${archs})
  if(archs STREQUAL "all")
    set(wanted 80 86 87 89 90 110 120 121) # 87 is Orin, 110 is Thor, 121 is the DGX Spark
  endif()
  set(code)
  foreach(arch IN LISTS wanted)
    if(arch IN_LIST known)
      list(APPEND code -gencode=arch=compute_${arch},code=sm_${arch})
      if(arch LESS_EQUAL 90)
        set(ptx ${arch})
      endif()
    else()
      message(STATUS "CUDA: this nvcc does not know ${arch}")
    endif()
  endforeach()
  if(NOT code)
    message(FATAL_ERROR "TINYCHAT_CUDA_ARCHS=${archs}: this nvcc knows none of it; it knows ${known}")
  endif()
  if(archs STREQUAL "all") # other devices compile this at run time; PTX of 121 would exclude those between 90 and 121
    list(APPEND code -gencode=arch=compute_${ptx},code=compute_${ptx})
  endif()
  set(${out} ${code} PARENT_SCOPE)
endfunction()
