# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# Compile for 64-bit ARM, with a Python that runs under emulation (tools/test_arm64.sh).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING FALSE) # otherwise FindPython does not ask this Python for its directories
# Debian's Python names the directories of its packages, not those of build/arm64/root. Its pyconfig.h includes another one.
set(root ${CMAKE_CURRENT_LIST_DIR}/../build/arm64/root)
set(Python_INCLUDE_DIR ${root}/usr/include/python3.11 CACHE PATH "")
set(CMAKE_CXX_FLAGS_INIT "-idirafter ${root}/usr/include")
