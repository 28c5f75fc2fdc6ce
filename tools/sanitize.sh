#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# Test the native runtime under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer: first the C++ tests,
# then the Python tests with bad input and several threads: sanitize.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=$(realpath --no-symlinks "$1")
python_tests=(test_native_guards.py test_kv_cache.py test_sampler.py test_forward_batch.py serving/test_kv_cache_pool.py)
import_checked='import os, tinychat_core._tinychat as t; assert t.__file__.startswith(os.getcwd()), t.__file__'
tests=(attention elementwise half isa matmul sampler thread_pool)
# run NAME FLAGS LIBRARY: builds and tests with FLAGS; LIBRARY must be loaded before Python.
run() {
  local name=$1 flags=$2 library=$3
  # -O1: with -O3 and the checks, the kernels of seven instruction sets take an hour to compile.
  cmake -S csrc -B "build/$name" -DPython_EXECUTABLE="$python" -DTINYCHAT_TESTS=ON -DCMAKE_BUILD_TYPE=Sanitize \
    -DCMAKE_CXX_FLAGS_SANITIZE="-O1 -g1 -fno-omit-frame-pointer $flags" \
    -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/build/$name/tinychat_core" > /dev/null
  cmake --build "build/$name" --parallel "$(nproc)" --target _tinychat "${tests[@]/#/test_}" > "build/$name/log" 2>&1 || { tail -30 "build/$name/log"; exit 1; }
  echo "-- C++ tests, $name"
  ctest --test-dir "build/$name" --output-on-failure --no-tests=error -R "^($(IFS='|'; echo "${tests[*]}"))\$"
  echo "-- Python tests, $name"
  # A copy of the package with the checked extension. No leak detection: Python itself does not free everything at exit.
  rm -rf "build/$name/site" && mkdir -p "build/$name/site/tinychat_core"
  cp -r tinychat_core/. "build/$name/site/tinychat_core/"
  rm -f "build/$name/site/tinychat_core"/_tinychat*.so
  cp "build/$name"/tinychat_core/_tinychat*.so "build/$name/site/tinychat_core/"
  # Run from that copy: `python -m` puts the current directory before PYTHONPATH. `import_checked` fails if another copy was
  # imported. OpenBLAS gets one thread: it is not instrumented, so its own threads look like races.
  (
    cd "build/$name/site"
    export LD_PRELOAD="$(g++ -print-file-name="$library") $(g++ -print-file-name=libstdc++.so)" PYTHONPATH="$PWD"
    export OPENBLAS_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS='halt_on_error=1 exitcode=66'
    export UBSAN_OPTIONS='halt_on_error=1 print_stacktrace=1'
    "$python" -c "$import_checked"
    "$python" -m pytest -q -p no:cacheprovider --rootdir "$root" "${python_tests[@]/#/$root/test/core/}"
  )
}
mkdir -p build
run asan '-fsanitize=address,undefined -fno-sanitize-recover=undefined' libasan.so
run tsan '-fsanitize=thread' libtsan.so
