#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# Update tools/wheels.lock: the newest release of each wheel that `make setup` installs when no ROS 2 is sourced, for
# Python 3.10 and newer, with the SHA-256 of each file.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${1:-python3}" -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet uv
"$scratch/venv/bin/uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
  --no-annotate --custom-compile-command 'make lock' \
  tools/build-wheels.txt tools/ros-wheels.txt tools/runtime-wheels.txt --output-file tools/wheels.lock --upgrade
