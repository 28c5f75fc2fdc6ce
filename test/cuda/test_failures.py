# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a CUDA device can refuse, and how it can fail: one line each, and the process goes on."""
from __future__ import annotations

from pathlib import Path

from core.small_checkpoint import write
from cuda_on_host import run
import pytest

from tinychat_core import _tinychat

# Opens the checkpoint argv[1] for the backend argv[2] and says what came of it.
OPEN = """
import sys
from tinychat_core.engine import Engine
from tinychat_core.errors import TinyChatError
try:
    print(Engine.open(sys.argv[1], backend=sys.argv[2], max_seq_len=64).backend)
except TinyChatError as error:
    print(f'{type(error).__name__}: {error}')
"""

# Prints what an engine generates, thrice in one cache; a failure is one line.
GENERATE = """
import sys
from tinychat_core.engine import Engine
from tinychat_core.errors import BackendFailedError
from tinychat_core.sampling import SamplingParams
engine = Engine.open(sys.argv[1], backend='cuda', max_seq_len=64)
cache = engine.new_cache()
for _ in range(3):
    try:
        print([token.id for token in engine.generate([1, 2, 3], SamplingParams(max_new_tokens=5), cache)])
    except BackendFailedError as error:
        print(error, cache.length, sep='; ')
    cache.truncate(0)
"""


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp('small') / 'model')


@pytest.fixture(scope='module')
def expected(checkpoint: Path) -> str:
    """Return what GENERATE prints where nothing fails."""
    first, *others = run(GENERATE, checkpoint).stdout.splitlines()
    assert others == [first, first]
    return first


REFUSALS = {
    'no-driver': 'the NVIDIA driver is missing or older than CUDA 13.0, which this build needs; update it or use the '
                 'backend cpu',
    'no-device': 'there is no CUDA device; use the backend cpu',
    'other-arch': 'this build has no CUDA code for the device; build again with TINYCHAT_CUDA_ARCHS=native',
}


@pytest.mark.parametrize('fault', REFUSALS)
def test_what_cannot_be_used_says_why(fault: str, checkpoint: Path) -> None:
    done = run(OPEN, checkpoint, 'cuda', fault=fault)
    assert done.stdout == f'InvalidParameterError: the backend cuda cannot be used: {REFUSALS[fault]}\n', done.stderr


def test_auto_then_is_the_cpu_and_says_so(checkpoint: Path) -> None:
    done = run(OPEN, checkpoint, 'auto', fault='no-driver')
    assert done.stdout == 'cpu\n'
    assert done.stderr == f'the backend is cpu: {REFUSALS["no-driver"]}\n'


def test_auto_is_cuda_where_it_can_be_used(checkpoint: Path) -> None:
    assert run(OPEN, checkpoint, 'auto').stdout == 'cuda\n'


def test_not_built_says_how_to_build(checkpoint: Path, tmp_path: Path) -> None:
    done = run(OPEN, checkpoint, 'cuda', library=tmp_path / 'none.so')
    assert done.stdout.startswith('InvalidParameterError: the backend cuda is not built')
    assert 'TINYCHAT_CUDA_ARCHS=native make setup' in done.stdout


def test_not_built_and_auto_is_the_cpu(checkpoint: Path, tmp_path: Path) -> None:
    done = run(OPEN, checkpoint, 'auto', library=tmp_path / 'none.so')
    assert (done.stdout, done.stderr) == ('cpu\n', '')


def test_a_file_that_is_no_library(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / 'text.so').write_text('not a library')
    done = run(OPEN, checkpoint, 'cuda', library=tmp_path / 'text.so')
    assert 'cannot be used: the CUDA library cannot be opened' in done.stdout


def test_a_library_of_something_else(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / 'other.so').symlink_to(next(Path(_tinychat.__file__).parent.glob('_tinychat*.so')))
    done = run(OPEN, checkpoint, 'cuda', library=tmp_path / 'other.so')
    assert 'other.so is not the CUDA library of this release: it lacks tinychat_cuda_stamp' in done.stdout, done.stderr


def test_too_little_memory_is_seen_before_anything_is_read(checkpoint: Path) -> None:
    assert run(OPEN, checkpoint, 'cuda', fault='memory=1000').stdout.startswith('DoesNotFitError: the model needs')


def test_too_little_memory_after_all_names_what_has_no_room(checkpoint: Path) -> None:
    # As much as is planned, less than is taken: the plan leaves out what is small in a real model.
    done = run(OPEN, checkpoint, 'cuda', fault='memory=1100000')
    assert done.stdout == ("BackendFailedError: the CUDA device has not enough memory for the decoder's buffers; use a "
                           'smaller max_seq_len or model, or the backend cpu\n'), done.stderr


def test_no_room_for_a_cache_leaves_the_others(checkpoint: Path) -> None:
    code = """
import sys
from tinychat_core.engine import Engine
from tinychat_core.errors import BackendFailedError
engine = Engine.open(sys.argv[1], backend='cuda', max_seq_len=64)
caches = []
try:
    while True:
        caches.append(engine.new_cache())
except BackendFailedError as error:
    print(error)
engine.prefill(caches[0], [1, 2, 3])
print(len(caches) > 1, caches[0].length)
"""
    done = run(code, checkpoint, fault='memory=4400000')
    assert done.stdout.splitlines() == ['the CUDA device has not enough memory for the KV cache; use a smaller '
                                        'max_seq_len or model, or the backend cpu', 'True 3'], done.stderr


@pytest.mark.parametrize('launch', [3, 30, 50], ids=['in a prefill', 'in a token', 'in a recorded token'])
def test_a_device_that_fails_is_set_up_anew(launch: int, checkpoint: Path, expected: str) -> None:
    """The goal ends with the reason; the next one is answered as if nothing had happened."""
    done = run(GENERATE, checkpoint, fault=f'fault={launch}')
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert lines[0].startswith('the CUDA device failed at ')
    assert lines[0].endswith('an illegal memory access was encountered (cudaErrorIllegalAddress); 0')
    assert lines[1] == lines[2] == expected


def test_the_command_line_prints_one_line(checkpoint: Path) -> None:
    code = 'import sys; from tinychat_core.cli import main; sys.exit(main(sys.argv[1:]))'
    done = run(code, 'chat', checkpoint, '--backend', 'cuda', fault='no-device')
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1 and REFUSALS['no-device'] in done.stderr
