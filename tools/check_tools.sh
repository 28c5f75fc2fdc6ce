#!/usr/bin/env bash
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
# Check that the build tools are installed, and that Python and a sourced ROS 2 are new enough; print one line that says what to do.
python=${PYTHON:-python3}
missing=()
need() { "${@:2}" >/dev/null 2>&1 || missing+=("$1"); }

need python3 command -v "$python"
need python3-venv "$python" -c 'import ensurepip, venv'
need python3-dev "$python" -c 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h"))'
need g++ command -v "${CXX:-g++}"
need cmake command -v cmake
need make command -v make
need git command -v git

if ((${#missing[@]})); then
  echo "tinychat: missing tools; install them with: sudo apt install ${missing[*]}" >&2
  exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo "tinychat: $("$python" --version) is too old; use 3.10 or newer: make PYTHON=python3.10 …" >&2
  exit 2
fi
case ${ROS_DISTRO:-} in
  ardent | bouncy | crystal | dashing | eloquent | foxy | galactic)
    echo "tinychat: ROS 2 $ROS_DISTRO is too old; source Humble or newer, or unset ROS_DISTRO to install ROS 2 from wheels" >&2
    exit 2 ;;
esac
# The wheels of tools/wheels.lock.
if [[ ${ROS:-} == wheels ]]; then
  this=$("$python" -c 'import platform, sys
if platform.machine() != "x86_64": print(platform.machine())
elif sys.version_info > (3, 15): print("Python {}.{}".format(*sys.version_info))')
  if [[ $this ]]; then
    echo "tinychat: there are no ROS 2 wheels for $this (only for x86-64, Python 3.10 to 3.14); source a ROS 2 distribution, or" \
      "use another Python: make PYTHON=python3.12 …; or install without ROS: $python -m pip install ." >&2
    exit 2
  fi
fi
