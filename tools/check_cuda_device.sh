#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# Run all checks that need a CUDA device: build for this device, run the tests (whole models against the CPU and
# transformers), run compute-sanitizer if it is installed, and run the benchmark against its peers.
#
#   check_cuda_device.sh           create the project's environment and use it
#   check_cuda_device.sh PYTHON    use the environment of this Python, which must have all dependencies; for machines
#                                  without network
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

# The batches of test_batch.cpp: several sequences, embeddings, spans, top-k of any tokens, graphs of 1 to 8 tokens.
batches=$TINYCHAT_BUILD_DIR/test/cuda/test_cuda_batch
check 'batch test, build' cmake -S csrc -B "$TINYCHAT_BUILD_DIR" -DTINYCHAT_TESTS=ON
check 'batch test, build' cmake --build "$TINYCHAT_BUILD_DIR" --parallel --target test_cuda_batch
check 'tests' "$python" -m pytest -q -m gpu test/cuda
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    # Every kind of matrix product with fp16 and int8 activations, and both data types of the KV cache.
    for passes in 'W4A16 128 auto' 'W4A16 64 int8' 'W4A16 32 auto' 'W8A16 32 int8' 'W8A8 32 auto' 'W16A16 32 auto'; do
      # shellcheck disable=SC2086
      check "$tool, $passes" compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 5 \
        "$python" test/cuda/small_passes.py $passes
    done
    check "$tool, batches" compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 5 \
      "$batches" tinychat_core/libtinychat_cuda.so
  done
else
  echo '-- compute-sanitizer not found: memory accesses and races are not checked'
fi
check 'benchmark' "$python" benchmarks/cuda_speed.py
exit $code
