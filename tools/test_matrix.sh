#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# Build and test fresh clones with several versions of Python and of ROS 2: test_matrix.sh [COMBINATION…]
# A combination is PYTHON-DISTRIBUTION, for example 3.12-jazzy. Default: all.
# Committed changes only. Logs and clones stay in build/matrix.
set -uo pipefail
cd "$(dirname "$0")/.."
combinations=("$@")
((${#combinations[@]})) || combinations=({3.10,3.12,3.13}-{kilted,jazzy})
# Jazzy's wheels. The newer releases of rmw-fastrtps-cpp on PyPI are Kilted's.
jazzy='ros-rclpy==7.1.6
ros-rmw-fastrtps-cpp<=8.4.3
ros-ament-cmake-gmock
ros-gmock-vendor'
root=$PWD/build/matrix
code=0
table='| Python | ROS 2 | build | import | ROS tests | demo |
|---|---|---|---|---|---|'

# find_python VERSION: print the interpreter. pyenv's shim exists for versions that are not selected, too, so it is tried.
find_python() {
  local candidate
  for candidate in "python$1" "$HOME/.pyenv/versions/$1".*/bin/python"$1"; do
    if "$candidate" -c 'import sys' > /dev/null 2>&1; then command -v "$candidate"; return; fi
  done
  return 1
}

# clean COMMAND…: run it without the variables of this make and of a sourced distribution.
clean() {
  env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u ROS_DISTRO -u AMENT_PREFIX_PATH -u CMAKE_PREFIX_PATH -u PYTHONPATH \
    -u LD_LIBRARY_PATH -u TINYCHAT_BUILD_DIR "$@"
}

# wheels_of DISTRIBUTION PYTHON: in a clone, lock the wheels of another distribution than Kilted.
wheels_of() {
  [[ $1 == kilted ]] && return
  sed -i -e '/^ros-rclpy/d; /^ros-rmw-fastrtps-cpp/d; /^ros-ament-cmake-ros-core/d' tools/ros-wheels.txt
  printf '%s\n' "$jazzy" >> tools/ros-wheels.txt
  clean tools/lock_wheels.sh "$2"
}

# stage NAME COMMAND…: run a command into the log; set `cell` to its result, and return its exit code.
stage() {
  echo "-- $1" >> "$log"
  if clean "${@:2}" >> "$log" 2>&1; then cell=passed; else cell=FAILED; code=1; return 1; fi
}

mkdir -p "$root"
for combination in "${combinations[@]}"; do
  version=${combination%-*} distribution=${combination#*-}
  if [[ ! $version =~ ^3\.[0-9]+$ || ! $distribution =~ ^(kilted|jazzy)$ ]]; then
    echo "test_matrix: '$combination' is no combination; use PYTHON-DISTRIBUTION with kilted or jazzy, for example 3.12-jazzy" >&2
    exit 2
  fi
  if ! python=$(find_python "$version"); then
    table+=$'\n'"| $version | $distribution | no Python $version here | | | |"
    continue
  fi
  log=$root/$combination.log clone=$root/$combination
  : > "$log"
  echo "-- $combination: $log"
  rm -rf "$clone" && git clone --quiet . "$clone" || exit 1
  if compgen -G 'models/*.gguf' > /dev/null; then mkdir -p "$clone/models" && cp models/*.gguf "$clone/models/"; fi
  cells=()
  cd "$clone" || exit 1
  if ! wheels_of "$distribution" "$python" >> "$log" 2>&1; then
    table+=$'\n'"| $version | $distribution | no wheels: see the log | | | |"
    code=1
  else
    stage build make PYTHON="$python" setup model; built=$?; cells+=("$cell")
    if ((built == 0)); then
      stage import .venv/bin/python -c 'import tinychat_core.engine, tinychat_ros.chat_node, tinychat_ros.agent.agent_node'
      cells+=("$cell")
      # Without the reference implementations: torch alone is 200 MB.
      grep -vE '^(torch|transformers|langchain|ollama|openai|schemathesis)' test/requirements.txt > ../requirements.txt
      stage 'test dependencies' .venv/bin/python -m pip install --quiet -r ../requirements.txt
      # The tests of a failing GPU need the CUDA library for machines without one.
      stage 'CUDA library of the tests' tools/build_native_tests.sh .venv/bin/python tinychat_cuda_on_host
      stage 'ROS tests' .venv/bin/python -m pytest -q -n auto --dist loadfile test/ros test/launch
      # The last line of pytest, for example: 365 passed, 2 skipped in 100 s
      cells+=("$cell: $(grep -E '[0-9]+ (passed|failed|error)' "$log" | tail -1 | sed 's/ in .*//; s/=//g')")
      stage demo make PYTHON="$python" demo PROMPT='What is a map?'; cells+=("$cell")
    fi
    printf -v row ' %s |' "${cells[@]}"
    table+=$'\n'"| $version | $distribution |$row"
  fi
  cd "$root/../.." || exit 1
done
echo
echo "$table"
exit $code
