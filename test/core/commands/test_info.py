# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat info`, by the arithmetic of a model whose every size is known."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import small_checkpoint as small

from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.cli import main
from tinychat_core.engine import Engine
from tinychat_core.errors import InvalidParameterError
from tinychat_core.loading.memory_plan import plan
from tinychat_core.sizes import parse_size


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp('info') / 'small')


def facts(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(['info', *map(str, arguments), '--json']) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


# Keys and values, 2 layers, 1 KV head of 32, 2 bytes each.
POSITION = 2 * 2 * 32 * 2
# f16; w4m and w4z: half a byte, 2 bytes of scale a group and 2 or half a byte more; w8g; w8c: 4 bytes a row.
LAYER_0 = (160 * 64 // 2 + 160 * 2 * 4) + (64 * 96 // 2 + 64 * 3 * 2 + 64 * 3 // 2) + (192 * 64 + 192 * 2 * 2) + (
    64 * 96 + 64 * 4)
LAYER_1 = 160 * 64 * 2 + 64 * 96 * 2 + (192 * 64 // 2 + 192 * 2 + 192 // 2) + (64 * 96 // 2 + 64 * 4)
ENDS = 272 * 64 * 2 + 272 * 64 + 272 * 2
WEIGHTS = LAYER_0 + LAYER_1 + ENDS + 4 * sum(small.VECTORS.values())


def test_the_bytes_of_every_part(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    found = facts(capsys, model, '--max-seq-len', 10)
    assert found['weights_bytes'] == WEIGHTS
    assert found['kv_cache_bytes'] == 10 * POSITION
    assert found['total_bytes'] == WEIGHTS + 10 * POSITION + found['buffers_bytes']
    assert (found['family'], found['context_length'], found['max_seq_len']) == ('llama', 64, 10)


def test_without_a_length_it_is_the_whole_context(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    assert facts(capsys, model)['kv_cache_bytes'] == 64 * POSITION


def test_it_fits_to_the_byte(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    total = facts(capsys, model)['total_bytes']
    assert facts(capsys, model, '--memory', total)['fits'] is True
    assert facts(capsys, model, '--memory', total - 1)['fits'] is False


def test_it_says_which_context_would_fit(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    memory = facts(capsys, model)['total_bytes'] - 24 * POSITION - 1
    largest = facts(capsys, model, '--memory', memory)['largest_max_seq_len']
    assert largest == 39
    assert facts(capsys, model, '--memory', memory, '--max-seq-len', largest)['fits'] is True
    assert main(['info', str(model), '--memory', str(memory)]) == 0
    assert 'it does not fit; it would fit with max_seq_len 39' in capsys.readouterr().out


def test_as_long_a_context_as_fits(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    memory = facts(capsys, model)['total_bytes'] - 24 * POSITION
    found = facts(capsys, model, '--memory', memory, '--max-seq-len', 0)
    assert (found['max_seq_len'], found['fits']) == (40, True)


def test_a_cache_of_bytes_takes_half(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    # A head of 32: bytes, a scale of its key, a scale of its value.
    assert facts(capsys, model, '--kv-cache', 'int8')['kv_cache_bytes'] == 64 * 2 * (2 * 32 + 2 * 2)


def test_it_says_where_nothing_helps(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    assert main(['info', str(model), '--memory', '1kB']) == 0
    assert 'it does not fit; use a smaller model' in capsys.readouterr().out


def test_it_says_that_it_fits(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    assert main(['info', str(model), '--memory', '1GiB']) == 0
    out = capsys.readouterr().out
    assert 'it fits' in out and 'llama, W4, groups of 32, 2 layers of 64' in out


@pytest.mark.parametrize('precision', ['W4', 'W4A8', 'W4A16'])
def test_the_engine_takes_what_was_foretold(capsys: pytest.CaptureFixture[str], model: Path,
                                            precision: str) -> None:
    found = facts(capsys, model, '--precision', precision, '--max-seq-len', 33)
    engine = Engine.open(model, precision=precision, max_seq_len=33)
    assert (found['weights_bytes'], found['kv_cache_bytes']) == (engine.weights_bytes, engine.kv_cache_bytes)
    engine.close()


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['--precision', 'W8A8'], "precision 'W8A8' does not fit W4 weights; use W4, W4A16 or W4A8"),
    (['--max-seq-len', '65'], "max_seq_len must be 1 .. 64 (the model's context length), not 65"),
    (['--max-seq-len', '-1'], 'max_seq_len must be 1 .. 64'),
    (['--memory', 'plenty'], "--memory takes a size like 8GiB or 500MB, not 'plenty'"),
])
def test_what_is_out_of_range_is_one_line(capsys: pytest.CaptureFixture[str], model: Path, arguments: list[str],
                                          reason: str) -> None:
    assert main(['info', str(model), *arguments]) == 2
    captured = capsys.readouterr()
    assert not captured.out and captured.err.startswith('tinychat: error: ') and reason in captured.err
    assert captured.err.count('\n') == 1


@pytest.mark.parametrize(('text', 'expected'), [
    ('8GiB', 8 << 30), ('500MB', 500_000_000), ('1.5 KiB', 1536), ('64gib', 64 << 30), ('2G', 2_000_000_000),
    ('1048576', 1 << 20), ('3TiB', 3 << 40), ('10B', 10)])
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text, '--memory') == expected


@pytest.mark.parametrize('text', ['', '.', '8 GiBi', '-1GiB', '1e9', 'GiB', 'nan'])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidParameterError):
        parse_size(text, '--memory')


def test_llama_2_70b_for_a_board_of_64_gb() -> None:
    """The arithmetic of the plan, on the shape of 80 layers of 8192 with 8 KV heads."""
    model = small.MODEL.replace(vocab_size=32000, hidden_size=8192, intermediate_size=28672, layers=80, heads=64,
                                kv_heads=8, head_dim=128, context_length=4096)
    shapes = {'attn.qkv': (10240, 8192), 'attn.o': (8192, 8192), 'mlp.gate_up': (57344, 8192),
              'mlp.down': (8192, 28672)}
    tensors = {f'layers.{i}.{name}': TensorEntry(1 + i, 'w4z', rows, cols, 128, 'r16k4')
               for i in range(80) for name, (rows, cols) in shapes.items()}
    tensors |= {name: TensorEntry(0, 'w8g', 32000, 8192, 32, 'r16k4') for name in ('embedding', 'head')}
    needs = plan(Manifest('llama', model, 'W4', 128, tensors, []))
    numbers = 80 * sum(rows * cols for rows, cols in shapes.values())
    ends = 2 * 32000 * 8192
    assert needs.weights_bytes == numbers // 2 + numbers // 128 * 5 // 2 + ends + ends // 32 * 2
    assert needs.kv_cache_bytes == 4096 * 2 * 80 * 8 * 128 * 2
    assert 34 << 30 < needs.total_bytes < 36 << 30
