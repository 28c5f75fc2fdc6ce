#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# Compile with what JetPack 6 (Ubuntu 22.04) has: gcc 11, CMake 3.22, Python 3.10, setuptools 59.6 and pybind11 2.9.
# The extension for this processor is installed and tried; with a cross-compiler of that version, the ARM kernels are compiled, too.
# Everything is in build/jetpack. Needs network.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3.10} native=${CXX:-g++-11} arm=${CXX_ARM:-aarch64-linux-gnu-g++-11}
for program in "$python" "$native"; do
  command -v "$program" > /dev/null || { echo "test_jetpack: $program is missing: sudo apt install python3.10-venv g++-11" >&2; exit 2; }
done
at=$PWD/build/jetpack
[[ -x $at/venv/bin/python ]] || "$python" -m venv "$at/venv"
export PATH=$at/venv/bin:$PATH
pip install --quiet --disable-pip-version-check 'cmake==3.22.*' 'setuptools==59.6.*' 'pybind11==2.9.*' wheel
cmake --version | head -1
"$native" --version | head -1
CXX=$native TINYCHAT_BUILD_DIR=$at/native TINYCHAT_CUDA_ARCHS='' pip wheel --quiet --no-build-isolation --no-deps --wheel-dir "$at" .
pip install --quiet --force-reinstall --disable-pip-version-check "$at"/tinychat_ros-*.whl
(cd "$at" && python -c 'import sys, tinychat_core.engine; print("the extension is imported by Python", sys.version.split()[0])')
if command -v "$arm" > /dev/null; then
  cmake -S csrc -B "$at/arm" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$arm" \
    -DTINYCHAT_PYTHON=OFF > /dev/null
  cmake --build "$at/arm" --target tinychat_native --parallel "$(nproc)" > /dev/null
  echo "the ARM kernels are compiled by $("$arm" --version | head -1)"
else
  echo "$arm is missing: the ARM kernels are not compiled"
fi
