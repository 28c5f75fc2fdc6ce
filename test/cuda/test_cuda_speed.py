# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arguments, order and tables, on canned figures: it runs only where there is a device."""
from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from cuda_on_host import LIBRARY, ROOT, run
import pytest

from tinychat_core import _tinychat
from tinychat_core.bench import kernels, shapes

SCRIPT = ROOT / 'benchmarks' / 'cuda_speed.py'

PRODUCT = {'by': 'tinychat', 'format': 'w4z', 'group_size': 128, 'rows': 4096, 'cols': 11008, 'tokens': 1,
           'microseconds': 8.0, 'gb_per_s': 3000.0, 'bandwidth_share': 0.75}
FOUND: dict[str, Any] = {
    'device': {'name': 'a device'}, 'copy_gb_per_s': 4000.0,
    'products': [{**PRODUCT, 'by': 'cuBLAS', 'format': 'f16', 'group_size': 0, 'microseconds': 24.0}, PRODUCT],
    'models': [{'model': 'llama-2-7b', 'int4_ms': 2.0, 'fp16_ms': 6.0, 'transformers_ms': 18.0, 'w8a8_ms': 3.5,
                'w8a8_prefill_ms_512': 31.0, 'int4_kv8_ms': 2.0, 'int4_kv8_gb': 4.0, 'int4_kv8_ms_3896': 2.5,
                'int4_kv8_gb_3896': 5.0},
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
    assert 'llama-2-7b, int4_kv8, up to 4096 tokens of context: 2.50 ms a token, 1.00 of what' in done.stdout
    assert ['mpt-30b', '-', '8.00', '-', '-', '-', '-'] in rows
    assert ['falcon-7b', 'no', 'time', 'left'] in rows


def test_no_minutes_are_refused() -> None:
    done = script('--minutes', '0')
    assert done.returncode == 2 and 'must be more than 0' in done.stderr


def test_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are canned and take four minutes each; the choices of tokens are made by the stand-in."""
    monkeypatch.setenv('TINYCHAT_CUDA_LIBRARY', str(LIBRARY))
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import cuda_speed

    now = 0.0

    def lines_of(command: list[str], seconds: float) -> list[dict[str, Any]]:
        nonlocal now
        if seconds <= 0:
            return []
        now += 240
        if 'transformers' in command:
            return [{'model': name, 'transformers_ms': 18.0} for name in command[3:]]
        if 'bench' not in command:
            return [PRODUCT | {'by': command[2]}]
        figures = {'decode_tokens_per_s': 500.0, 'time_to_first_token_ms': 3.0, 'read_gb_per_s': 2000.0}
        return [figures for _ in command[command.index('--context') + 1].split(',')]

    monkeypatch.setattr(cuda_speed, 'monotonic', lambda: now)
    monkeypatch.setattr(cuda_speed, 'lines_of', lines_of)
    monkeypatch.setattr(_tinychat, 'cuda_copy_bandwidth', lambda _: 3e12)
    monkeypatch.setattr(cuda_speed.choices, '__defaults__', (2,))
    monkeypatch.setattr(kernels, 'measure_gemms', lambda _: iter([kernels.GemmTime(
        'llama-2-7b', 'o', 'w8g', True, 32, 4096, 4096, 1, 6.0, 2900.0, 0.97, 2.0)]))
    monkeypatch.setitem(shapes._SHAPES, cuda_speed.SMALL, shapes._Shape({
        'model_type': 'llama', 'vocab_size': 100, 'hidden_size': 64, 'intermediate_size': 64, 'num_hidden_layers': 1,
        'num_attention_heads': 2, 'max_position_embeddings': 64, 'tie_word_embeddings': True}, group_size=32))
    found = cuda_speed.measure(['llama-2-7b', 'mpt-7b', 'falcon-7b'], 60 * 4 * 6)
    first, second, third = found['models']
    # Five settings of the first model, one of the second one, and its other one has no time any more.
    assert {'int4_ms', 'fp16_ms_512', 'int4_kv8_ms_3896', 'w8a8_prefill_ms', 'w8a16_ms'} < set(first)
    assert set(second) == {'model', 'int4_ms', 'int4_prefill_ms', 'int4_gb'}
    assert third == {'model': 'falcon-7b', 'skipped': 'no time left'}
    assert [row['choice'] for row in found['choices']] == list(cuda_speed.CHOICES)
    assert [row['format'] for row in found['products']] == ['w8ga8']
    assert cuda_speed.tables(found)
    now = 0.0
    found = cuda_speed.measure(['mpt-7b'], 1e6)
    assert [row['by'] for row in found['products']] == ['tinychat', 'cuBLAS', 'torch int4pack', 'gemlite']
    assert found['models'][0]['transformers_ms'] == 18.0 and found['seconds']['transformers'] == 240


@pytest.mark.parametrize(('format_', 'byte_tokens'), [
    *((name, False) for name in ('w4z', 'w4m', 'w8g', 'w8c', 'f16', 'bf16')), ('w8g', True), ('w8c', True)])
def test_a_product_is_timed_in_every_format(format_: str, byte_tokens: bool) -> None:
    """The figure is the stand-in's; that every launch finds its memory is what is tested."""
    code = """
import sys
from tinychat_core import _tinychat
group = {'w4z': 128, 'w4m': 128, 'w8g': 32}.get(sys.argv[2], 0)
seconds, nbytes = _tinychat.cuda_time_gemm(sys.argv[1], sys.argv[2], 40, 256, group, 1, sys.argv[3] == 'True')
print(seconds > 0, nbytes > 40 * 256 / 2)
"""
    done = run(code, LIBRARY, format_, byte_tokens)
    assert done.stdout == 'True True\n', done.stderr
