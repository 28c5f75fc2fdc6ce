# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Make this virtual environment an ament prefix for every process in it.

The Makefile copies this file as tinychat_prefix.py next to a .pth file that imports it, so that
`.venv/bin/chat_node` works in any shell. The loader reads LD_LIBRARY_PATH only when a
process starts, so Python executes itself again after setting it.
"""

import os
import sys


def first(path: str, name: str) -> bool:
    """Put a path first in a search path of the environment. Return whether it was missing."""
    paths = [part for part in os.environ.get(name, '').split(os.pathsep) if part]
    if path in paths:
        return False
    os.environ[name] = os.pathsep.join([path, *paths])
    return True


first(sys.prefix, 'AMENT_PREFIX_PATH')
if first(os.path.join(sys.prefix, 'lib'), 'LD_LIBRARY_PATH'):
    os.execve(sys.executable, sys.orig_argv, os.environ)
