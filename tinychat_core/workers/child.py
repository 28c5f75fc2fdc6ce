# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The command line of a process that runs one of our own modules."""
from __future__ import annotations

import json
from pathlib import Path
import sys


def command(module: str) -> list[str]:
    """
    Return the command that runs the main() of `module` with the module search path of this process.

    Python is isolated until that path is set: it would otherwise look for modules in the current directory first, and
    run a `re.py` that happens to lie there instead of its own. `site` is left out: it takes longer than the rest.
    """
    path = [*sys.path, str(Path(__file__).resolve().parents[2])]
    code = f'import sys, json; sys.path[:] = json.loads(sys.argv[1]); import {module} as module; module.main()'
    return [sys.executable, '-I', '-S', '-c', code, json.dumps(path)]
