# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Repair the CMake files of the ROS 2 wheels in this environment.

They contain two include directories of the machine that built the wheels. CMake refuses paths that do not exist.
"""

from __future__ import annotations

from pathlib import Path
import re
import sys
import sysconfig

import numpy

HERE = {
    r'/opt/python/[^;"]*/numpy/_core/include': numpy.get_include(),
    r'/opt/python/[^;"]*/include/python[0-9.]+': sysconfig.get_path('include'),
}

for file in Path(sys.prefix, 'share').rglob('*.cmake'):
    text = file.read_text()
    repaired = text
    for there, here in HERE.items():
        repaired = re.sub(there, here, repaired)
    if repaired != text:
        file.write_text(repaired)
