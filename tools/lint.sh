#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# Check the style of everything; run all checks, fail if one did: lint.sh BIN
cd "$(dirname "$0")/.."
bin=$1
code=0
check() { echo "-- $1"; "${@:2}" || code=1; }

mapfile -t native < <(git ls-files 'csrc/*' 'test/cpp/*' 'test/cuda/*' | grep -E '\.(h|cpp|inl|cu|cuh)$')
check ruff "$bin/ruff" check .
check mypy "$bin/mypy"
check clang-format "$bin/clang-format" --dry-run --Werror "${native[@]}"
exit $code
