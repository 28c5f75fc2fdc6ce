#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# Build and test fresh clones with several versions of Python and of ROS 2: test_matrix.sh [COMBINATION…]
# A combination is PYTHON-DISTRIBUTION, for example 3.12-jazzy. Default: Kilted's wheels with Python 3.10, 3.12 and 3.13, and
# Jazzy's with Python 3.12. Committed changes only. Logs and clones stay in build/matrix.
set -uo pipefail
cd "$(dirname "$0")/.."
combinations=("$@")
((${#combinations[@]})) || combinations=({3.10,3.12,3.13}-kilted 3.12-jazzy)
for combination in "${combinations[@]}"; do
  if [[ ! $combination =~ ^3\.[0-9]+-(kilted|jazzy)$ ]]; then
    echo "test_matrix: '$combination' is no combination; use PYTHON-DISTRIBUTION with kilted or jazzy, for example 3.12-jazzy" >&2
    exit 2
  fi
done
# Time limits [s]: of a combination, and of a test. A test that reaches its limit fails with the stacks of its threads, and
# the next one runs. If it cannot be interrupted, its stacks are in the log, and the combination ends at its own limit.
limit=7200 test_limit=300
# Jazzy's wheels. The newer releases of rmw-fastrtps-cpp on PyPI are Kilted's.
jazzy='ros-rclpy==7.1.6
ros-rmw-fastrtps-cpp<=8.4.3
ros-ament-cmake-gmock
ros-gmock-vendor'
root=$PWD/build/matrix
code=0 problems=
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

# missing_wheel: print the ROS 2 wheel that pip did not find for this Python, if the log names one.
missing_wheel() {
  grep -q Retrying "$log" && return # no network
  grep -oE 'No matching distribution found for ros-[^ ]+' "$log" | tail -1 | sed 's/.* //'
}

# problem TEXT: remember a line that is printed below the table.
problem() {
  code=1
  problems+=$'\n'"$combination: $1"
}

# stage NAME COMMAND…: run a command into the log, within what is left of the limit. Set `cell` to its result, and return its
# exit code.
stage() {
  local result left=$((deadline - SECONDS))
  echo "-- $1" >> "$log"
  clean timeout --signal=INT --kill-after=30 $((left > 1 ? left : 1)) "${@:2}" >> "$log" 2>&1
  result=$?
  cell=passed
  if ((result)); then
    cell=FAILED
    # 124: timeout ended it; 137: timeout killed it.
    if ((result == 124 || result == 137)); then cell="over the limit of $((limit / 60)) min"; fi
  fi
  return $result
}

# check NAME COMMAND…: a stage whose failure is a problem.
check() {
  stage "$@" || problem "$1: $cell"
}

# ros_tests: run them, and set `cell` to their number and `problems` to the names of those that failed or hung.
ros_tests() {
  local first counts name
  first=$(($(wc -l < "$log") + 1))
  check 'ROS tests' .venv/bin/python -m pytest -q -n auto --dist loadfile --timeout=$test_limit --timeout-method=signal \
    -o faulthandler_timeout=$((test_limit + 30)) test/ros test/launch
  # The last line of pytest, for example: 365 passed, 2 skipped in 100 s
  counts=$(tail -n +"$first" "$log" | grep -E '^=* ?[0-9]+ (passed|failed|error).* in ' | tail -1 | sed 's/ in .*//; s/=//g')
  [[ $counts ]] && cell=${counts# }
  while read -r name; do problem "$name"; done < <(tail -n +"$first" "$log" | grep -E '^(FAILED|ERROR) ' | cut -c 1-150)
  # In the stacks of a test that could not be interrupted: File "…/test/ros/test_cancel.py", line 20 in test_…
  while read -r name; do problem "hangs: $name"; done < <(
    tail -n +"$first" "$log" | grep -oE 'test/(ros|launch)/[^"]*", line [0-9]+ in test_[a-z0-9_]+' | sort -u)
}

mkdir -p "$root"
for combination in "${combinations[@]}"; do
  version=${combination%-*} distribution=${combination#*-}
  if ! python=$(find_python "$version"); then
    table+=$'\n'"| $version | $distribution | no Python $version here | | | |"
    continue
  fi
  log=$root/$combination.log clone=$root/$combination deadline=$((SECONDS + limit))
  : > "$log"
  echo "-- $combination: $log"
  rm -rf "$clone" && git clone --quiet . "$clone" || exit 1
  if compgen -G 'models/*.gguf' > /dev/null; then mkdir -p "$clone/models" && cp models/*.gguf "$clone/models/"; fi
  cells=()
  cd "$clone" || exit 1
  cell='FAILED: the wheels cannot be locked'
  if ! wheels_of "$distribution" "$python" >> "$log" 2>&1 || ! stage build make PYTHON="$python" setup model; then
    wheel=$(missing_wheel)
    if [[ $wheel ]]; then cell="no wheel of $wheel for this Python"; else problem "build: $cell: $(tail -1 "$log")"; fi
    cells=("$cell" '' '' '')
  else
    cells+=("$cell")
    check import .venv/bin/python -c 'import tinychat_core.engine, tinychat_ros.chat_node, tinychat_ros.agent.agent_node'
    cells+=("$cell")
    # Without the reference implementations: torch alone is 200 MB.
    grep -vE '^(torch|transformers|langchain|ollama|openai|schemathesis|mkdocs|playwright)' test/requirements.txt > ../requirements.txt
    check 'test dependencies' .venv/bin/python -m pip install --quiet -r ../requirements.txt
    # The tests of a failing GPU need the CUDA library for machines without one.
    check 'CUDA library of the tests' tools/build_native_tests.sh .venv/bin/python tinychat_cuda_on_host
    ros_tests
    cells+=("$cell")
    check demo make PYTHON="$python" demo PROMPT='What is a map?'
    cells+=("$cell")
  fi
  printf -v row ' %s |' "${cells[@]}"
  table+=$'\n'"| $version | $distribution |$row"
  cd "$root/../.." || exit 1
done
printf '\n%s\n%s\n' "$table" "${problems#$'\n'}"
exit $code
