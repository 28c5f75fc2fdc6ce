#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# All that needs a CUDA device, after `TINYCHAT_CUDA_ARCHS=native make setup model native-tests`: the tests, memory and races
# under compute-sanitizer where that is installed, and the benchmark. check_cuda_device.sh [PYTHON]
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
code=0
check() { echo "-- $1"; "${@:2}" || code=1; }

check 'tests' "$python" -m pytest -q -m gpu test/cuda
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    for passes in 'W4A16 128 auto' 'W4A16 64 int8' 'W8A16 128 int8' 'W8A8 128 auto' 'W16A16 128 auto'; do
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
