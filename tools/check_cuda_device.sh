#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# All that needs a CUDA device, in one command: builds for it, and runs the tests, with whole models against the CPU and
# transformers, memory and races under compute-sanitizer where that is installed, and the benchmark beside its peers.
#
#   check_cuda_device.sh           in the project's own environment, which is made
#   check_cuda_device.sh PYTHON    in that of a Python that has all it takes, where nothing can be installed
cd "$(dirname "$0")/.."
export TINYCHAT_CUDA_ARCHS=native TINYCHAT_BUILD_DIR=$PWD/build/native
python=${1:-.venv/bin/python}
code=0
check() { echo "-- $1"; "${@:2}" || { code=1; echo "-- $1: FAILED"; }; }

if [[ $# == 0 ]]; then
  make setup model "$PWD/.venv/.made/test" || exit 1
else
  "$python" -W ignore setup.py --quiet build_ext --inplace || exit 1
fi
"$python" -c 'from tinychat_core.cuda import usable_library; usable_library("cuda", "W4", None)' || exit 1

check 'tests' "$python" -m pytest -q -m gpu test/cuda
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    # Every way of a product in fp16 and in bytes, and both caches.
    for passes in 'W4A16 128 auto' 'W4A16 64 int8' 'W4A16 32 auto' 'W8A16 32 int8' 'W8A8 32 auto' 'W16A16 32 auto'; do
      # shellcheck disable=SC2086
      check "$tool, $passes" compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 5 \
        "$python" test/cuda/small_passes.py $passes
    done
  done
else
  echo '-- no compute-sanitizer: neither memory nor races are checked'
fi
check 'benchmark' "$python" benchmarks/cuda_speed.py
exit $code
