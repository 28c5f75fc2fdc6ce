# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Thousands of damaged models: each is imported or refused by one line that was foreseen, and none fills the memory."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
import resource
from typing import Any

import mutations
import packed_formats as packed
from packed_formats import AWQ, GPTQ, W4A16
import pytest
from small_huggingface import save, tensors
import tiny_llama
import torch

from tinychat_core.boundary import foreseen
from tinychat_core.errors import TinyChatError
from tinychat_core.importers import open_source
from tinychat_core.importers.import_plan import ImportPlan
from tinychat_core.importers.recipe import Recipe


def read_whole(source: Path) -> None:
    """Do all that an import does, but write."""
    opened = open_source(str(source))
    for part in ImportPlan(opened, Recipe()).parts:
        part()


def outcome(source: Path) -> str:
    """Return 'whole' or the line that refuses; anything else that is raised fails the test."""
    try:
        read_whole(source)
    except TinyChatError as error:
        assert str(error).isprintable()
        return str(error)
    return 'whole'


@pytest.fixture
def bounded_memory() -> Any:
    """Let the process have 2 GiB more of addresses than it has: whoever builds what a count says fails."""
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize('seed', range(4))
def test_headers_of_gguf_files(tmp_path: Path, seed: int, bounded_memory: None) -> None:
    path = tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.tensors('Q4_0'))
    whole, random = path.read_bytes(), Random(seed)
    outcomes = []
    for _ in range(750):
        path.write_bytes(mutations.of_bytes(whole, whole.index(b'output_norm.weight') + 64, random))
        outcomes.append(outcome(path))
    assert 'whole' in outcomes and len(set(outcomes)) > 50


PACKED: dict[str, tuple[dict[str, Any] | None, Callable[..., Any] | None]] = {
    'plain': (None, None), 'awq': (AWQ, packed.awq_gemm), 'gptq': (GPTQ, packed.gptq),
    'compressed-tensors': (W4A16, packed.compressed_packed)}


@pytest.mark.parametrize('kind', PACKED)
def test_json_of_directories(tmp_path: Path, kind: str, bounded_memory: None) -> None:
    config, pack = PACKED[kind]
    made = tensors(torch.float16) if pack is None else packed.model(pack, group_size=32)[0]
    directory = save(tmp_path / 'theirs', made, config and {'quantization_config': config}, shards=2)
    (directory / 'generation_config.json').write_text('{"eos_token_id": [2, 7], "bos_token_id": 1}')
    random, names = Random(kind), sorted(path.name for path in directory.glob('*.json'))
    outcomes = []
    for _ in range(250):
        path = directory / random.choice(['config.json', *names])
        whole = path.read_bytes()
        path.write_bytes(mutations.of_json(whole, random))
        outcomes.append(outcome(directory))
        path.write_bytes(whole)
    assert 'whole' in outcomes and len(set(outcomes)) > 20


def test_headers_of_safetensors(tmp_path: Path, bounded_memory: None) -> None:
    directory = save(tmp_path / 'theirs', packed.model(packed.gptq, group_size=32)[0], {'quantization_config': GPTQ})
    path, random = directory / 'model.safetensors', Random(0)
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[:8], 'little')
    outcomes = []
    for _ in range(150):
        header = mutations.of_json(whole[8:end], random)
        path.write_bytes(len(header).to_bytes(8, 'little') + header + whole[end:])
        outcomes.append(outcome(directory))
        path.write_bytes(mutations.of_bytes(whole, end, random))
        outcomes.append(outcome(directory))
    assert len(set(outcomes)) > 10


def test_a_long_header_of_safetensors_is_not_read(tmp_path: Path) -> None:
    directory = save(tmp_path / 'theirs', tensors(torch.float16))
    with open(directory / 'model.safetensors', 'r+b') as file:
        file.write((1 << 39).to_bytes(8, 'little'))
        file.truncate(1 << 40)
    assert 'model.safetensors is damaged (its header is not readable)' in outcome(directory)


@pytest.mark.parametrize('error', [KeyError('x'), RecursionError(), type('PanicException', (BaseException,), {})('a')])
def test_what_was_not_foreseen_becomes_one_line(error: BaseException) -> None:
    with pytest.raises(TinyChatError, match=r'cannot import a/b: the files are damaged or have .* \(.*\)'), \
            foreseen('import', 'a/b'):
        raise error


@pytest.mark.parametrize('error', [KeyboardInterrupt(), SystemExit(1)])
def test_who_stops_an_import_is_not_held(error: BaseException) -> None:
    with pytest.raises(type(error)), foreseen('import', 'a/b'):
        raise error
