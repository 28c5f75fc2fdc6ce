# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arguments and tables, on canned figures: it runs only where there is a device."""
from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from cuda_on_host import LIBRARY, ROOT, run
import pytest

SCRIPT = ROOT / 'benchmarks' / 'cuda_speed.py'

PRODUCT = {'by': 'tinychat', 'format': 'w4z', 'group_size': 128, 'rows': 4096, 'cols': 11008, 'tokens': 1,
           'microseconds': 8.0, 'gb_per_s': 3000.0, 'bandwidth_share': 0.75}
FOUND: dict[str, Any] = {
    'device': {'name': 'a device'}, 'copy_gb_per_s': 4000.0,
    'products': [{**PRODUCT, 'by': 'cuBLAS', 'format': 'f16', 'group_size': 0, 'microseconds': 24.0}, PRODUCT],
    'models': [{'model': 'llama-2-7b', 'int4_ms': 2.0, 'fp16_ms': 6.0, 'transformers_ms': 18.0, 'w8a8_ms': 3.5,
                'w8a8_prefill_ms_512': 31.0},
               {'model': 'mpt-30b', 'int4_ms': 8.0, 'fp16_ms': None, 'transformers_ms': None},
               {'model': 'falcon-7b', 'skipped': 'no time left'}]}


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_the_tables_of_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / 'speed.json').write_text(json.dumps(FOUND))
    done = script('--from-json', tmp_path / 'speed.json')
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0][-2:] == ['4000', 'GB/s']
    assert ['4096', '11008', 'w4z', '128', 'tinychat', '8.00', '3000', '75%'] in rows
    assert ['4096', '11008', 'f16', '-', 'cuBLAS', '24.00', '3000', '75%'] in rows
    assert ['llama-2-7b', '6.00', '2.00', '3.00x', '18.00', '9.00x', '3.12x'] in rows
    assert 'llama-2-7b, W8A8: 3.50 ms a token, 512 tokens of a prompt 31.00 ms' in done.stdout
    assert ['mpt-30b', '-', '8.00', '-', '-', '-', '-'] in rows
    assert ['falcon-7b', 'no', 'time', 'left'] in rows


def test_no_minutes_are_refused() -> None:
    done = script('--minutes', '0')
    assert done.returncode == 2 and 'must be more than 0' in done.stderr


@pytest.mark.parametrize(('format_', 'byte_tokens'), [
    *((name, False) for name in ('w4z', 'w4m', 'w8g', 'w8c', 'f16', 'bf16')), ('w8g', True), ('w8c', True)])
def test_a_product_is_timed_in_every_format(format_: str, byte_tokens: bool) -> None:
    """The figure is the stand-in's; that every launch finds its memory is what is tested."""
    code = """
import sys
from tinychat_core import _tinychat
group = {'w4z': 128, 'w4m': 128, 'w8g': 32}.get(sys.argv[2], 0)
seconds, nbytes = _tinychat.cuda_time_product(sys.argv[1], sys.argv[2], 40, 256, group, 1, sys.argv[3] == 'True')
print(seconds > 0, nbytes > 40 * 256 / 2)
"""
    done = run(code, LIBRARY, format_, byte_tokens)
    assert done.stdout == 'True True\n', done.stderr
