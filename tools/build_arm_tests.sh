#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# Build the C++ tests for 64-bit ARM, to be run under emulation: the NEON, dotprod and i8mm kernels.
set -euo pipefail
cd "$(dirname "$0")/.."
compiler=aarch64-linux-gnu-g++
emulator=qemu-aarch64-static
if ! command -v $compiler >/dev/null || ! command -v $emulator >/dev/null; then
  rm -rf build/arm
  echo "ARM kernels: not tested; to test them: sudo apt install g++-aarch64-linux-gnu qemu-user-static"
  exit 0
fi
cmake -S csrc -B build/arm -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=$compiler -DCMAKE_EXE_LINKER_FLAGS=-static -DCMAKE_CROSSCOMPILING_EMULATOR=$emulator \
  -DTINYCHAT_PYTHON=OFF -DTINYCHAT_TESTS=ON >/dev/null
cmake --build build/arm --parallel "$(nproc)" >/dev/null
