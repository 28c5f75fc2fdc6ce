#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# Build the CUDA library and check the resources that its kernels use: build_cuda.sh ARCHITECTURES, for example 87 or all.
# Does nothing without nvcc.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! PATH=$PATH:/usr/local/cuda/bin command -v nvcc > /dev/null; then
  echo 'nvcc not found: the CUDA library is not built'
  exit 0
fi
TINYCHAT_CUDA_ARCHS="$1" cmake -S csrc -B build/cuda -DTINYCHAT_PYTHON=OFF
cmake --build build/cuda --clean-first --target tinychat_cuda --parallel "$(nproc)" 2>&1 | tee build/cuda/log
python3 tools/check_cuda_resources.py build/cuda/log
