#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# Run all style checks with the tools in the directory BIN; fail if one of them fails: lint.sh BIN
cd "$(dirname "$0")/.."
bin=$1
code=0
check() { echo "-- $1"; "${@:2}" || code=1; }

mapfile -t native < <(git ls-files 'csrc/*' 'test/cpp/*' 'test/cuda/*' | grep -E '\.(h|cpp|inl|cu|cuh)$')
check ruff "$bin/ruff" check .
check mypy "$bin/mypy"
# The rules of ROS 2's linters: ament_flake8, ament_pep257 and, if xmllint is installed, ament_xmllint.
mapfile -t python < <(git ls-files '*.py' | grep -vE '^test/(core|cuda|families|reference)/')
check flake8 "$bin/flake8" "${python[@]}"
command -v xmllint > /dev/null && check xmllint xmllint --noout $(git ls-files '*.xml')
check clang-format "$bin/clang-format" --dry-run --Werror "${native[@]}"
exit $code
