#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# Generate tinychat_interfaces and install it into a virtual environment: build_interfaces.sh VENV
set -euo pipefail
venv=$1
python=$venv/bin/python
build=build/interfaces
site=$("$python" -c 'import sys; print(f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")')

export AMENT_PREFIX_PATH=$venv${AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}
export CMAKE_PREFIX_PATH=$venv${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}
# RPATH: the libraries of a sourced distribution do not look in this prefix.
cmake -S tinychat_interfaces -B "$build" \
  -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
  -DCMAKE_INSTALL_PREFIX="$venv" -DCMAKE_INSTALL_RPATH="$venv/lib" \
  -DPython3_EXECUTABLE="$python" -DPYTHON_INSTALL_DIR="$site"
cmake --build "$build" --parallel "$(nproc)"
cmake --install "$build"
