#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# Build the C++ tests with the object files of the extension: build_native_tests.sh PYTHON [TARGET]
set -euo pipefail
cmake -S csrc -B build/native -DPython_EXECUTABLE="$1" -DTINYCHAT_TESTS=ON
cmake --build build/native --parallel "$(nproc)" ${2:+--target "$2"}
