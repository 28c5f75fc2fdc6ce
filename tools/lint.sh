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
# The rules of a ROS 2 distribution's own linters: ament_flake8, ament_pep257 and, where it is installed, ament_xmllint.
mapfile -t python < <(git ls-files '*.py' | grep -vE '^test/(core|cuda|families|reference)/')
check flake8 "$bin/flake8" "${python[@]}"
command -v xmllint > /dev/null && check xmllint xmllint --noout $(git ls-files '*.xml')
check clang-format "$bin/clang-format" --dry-run --Werror "${native[@]}"
exit $code
