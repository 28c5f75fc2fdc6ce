# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The files' way to the device is what the placement decided: verified, and on shared memory without a second copy."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import tempfile

from core.page_cache import cached_bytes, drop
from core.small_checkpoint import write
from cuda_on_host import ROOT, run
import pytest

from tinychat_core.importers.split import split

# Opens argv[1], with direct reads where argv[2] says so; prints what the log says of the way, and an answer.
ANSWER = """
import logging, sys
from tinychat_core import engine as module, opening
from tinychat_core.errors import TinyChatError
from tinychat_core.sampling import SamplingParams
logging.basicConfig(level=logging.INFO, format='%(message)s', stream=sys.stdout)
if sys.argv[2] != 'direct':
    opening.reads_directly = lambda path: False
told = []
try:
    engine = module.Engine.open(sys.argv[1], backend='cuda', max_seq_len=64, progress=told.append)
    print([token.id for token in engine.generate([1, 2, 3], SamplingParams(max_new_tokens=5))])
except TinyChatError as error:
    print(f'{type(error).__name__}: {error}')
print(told == sorted(told) and told[-1:] == [1.0])
"""


@pytest.fixture(scope='module')
def checkpoint() -> Iterator[Path]:
    """Return a checkpoint on a disk: what lies in a file system of memory is always cached."""
    (ROOT / 'build').mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / 'build') as directory:
        yield write(Path(directory) / 'model')


@pytest.fixture(scope='module')
def expected(checkpoint: Path) -> str:
    """Return the tokens where the weights were copied from the mapping, as Engine does without files."""
    code = ANSWER.replace('try:', 'module.Checkpoint.copy_to_device = lambda *_: None\ntry:')
    return run(code, checkpoint, 'direct').stdout.splitlines()[-2]


def shards(checkpoint: Path) -> list[Path]:
    return sorted(checkpoint.glob('*.safetensors'))


@pytest.mark.parametrize(('fault', 'reads', 'reason'), [
    ('integrated', 'direct', 'CPU and GPU share one DRAM: reads bypass the page cache, so that no second copy stays'),
    ('integrated', 'buffered', 'CPU and GPU share one DRAM: the page cache is dropped after each read, so that no '
                               'second copy stays')])
@pytest.mark.parametrize('cached', [True, False], ids=['files cached before', 'files on the disk'])
def test_shared_memory_keeps_no_second_copy(fault: str, reads: str, reason: str, cached: bool, checkpoint: Path,
                                            expected: str) -> None:
    drop(*shards(checkpoint))
    for shard in shards(checkpoint) if cached else []:
        shard.read_bytes()
    done = run(ANSWER, checkpoint, reads, fault=fault)
    lines = done.stdout.splitlines()
    assert f'weights are staged: {reason}' in lines, done.stderr
    assert lines[-2:] == [expected, 'True']
    assert cached_bytes(*shards(checkpoint)) == 0


def test_a_device_with_memory_of_its_own_leaves_the_files_cached(checkpoint: Path, expected: str) -> None:
    drop(*shards(checkpoint))
    lines = run(ANSWER, checkpoint, 'direct').stdout.splitlines()
    assert ('weights are staged: the GPU has its own memory: reads overlap copies; the page cache keeps the files '
            'for the next start') in lines
    assert lines[-2] == expected
    assert cached_bytes(*shards(checkpoint)) >= sum(shard.stat().st_size for shard in shards(checkpoint))


def test_weights_in_another_layout_are_copied_from_the_mapping(checkpoint: Path, expected: str, tmp_path: Path) -> None:
    split(checkpoint, tmp_path / 'rows', layout='rows')
    lines = run(ANSWER, tmp_path / 'rows', 'direct').stdout.splitlines()
    assert 'weights are mapped: they are converted to another layout on the way to the GPU' in lines
    assert lines[-2:] == [expected, 'True']


def test_a_flipped_bit_is_found_on_the_way(tmp_path: Path) -> None:
    shard = shards(write(tmp_path / 'model'))[1]
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    (line,) = [line for line in run(ANSWER, tmp_path / 'model', 'direct').stdout.splitlines() if 'Error' in line]
    assert line == (f'CheckpointError: {shard} is damaged (the checksum of the MiB at offset 0 differs); '
                    'import the model again')


def test_loading_can_be_interrupted(checkpoint: Path) -> None:
    code = """
import sys
from tinychat_core.engine import Canceled, CancelFlag, Engine
flag = CancelFlag()
def progress(fraction):
    print(fraction < 1)
    flag.set()
try:
    Engine.open(sys.argv[1], backend='cuda', progress=progress, cancel=flag)
except Canceled:
    print('canceled')
"""
    assert run(code, checkpoint).stdout.splitlines() == ['True', 'canceled']


@pytest.mark.parametrize(('change', 'answer'), [
    ('pass', 'True 1.0'),
    ('os.truncate(shard, 5000)', 'has been changed while it was in use; load the model again'),
    ("os.replace(sys.argv[1] + '/config.json', shard)", 'has been changed while it was in use; load the model again')])
def test_after_a_failure_the_files_are_read_again(change: str, answer: str, tmp_path: Path) -> None:
    """The same files or none; and who loads hears nothing of it."""
    code = f"""
import os, sys
from tinychat_core.engine import Engine
from tinychat_core.errors import BackendFailedError, CheckpointError
told = []
engine = Engine.open(sys.argv[1], backend='cuda', max_seq_len=64, progress=told.append)
try:
    engine.score([1, 2, 3])
except BackendFailedError:
    pass
shard = sys.argv[1] + '/model-00002-of-00004.safetensors'
{change}
count = len(told)
try:
    engine.score([1, 2, 3])
    print(len(told) == count, told[-1])
except CheckpointError as error:
    print(error)
"""
    done = run(code, write(tmp_path / 'model'), fault='fault=3')
    assert done.stdout.strip().endswith(answer), done.stdout + done.stderr
