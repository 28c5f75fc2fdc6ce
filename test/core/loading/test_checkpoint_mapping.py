# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What happens to the files while they are mapped, or before all of them are verified: an answer is right or none."""
from __future__ import annotations

import os
from pathlib import Path
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import small_checkpoint as small

from tinychat_core.engine import Engine
from tinychat_core.errors import CheckpointError
from tinychat_core.loading import verification

TOKENS = [1, 2, 3, 4, 5]
LAYER = 'model-00002-of-00004.safetensors'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return small.write(tmp_path / 'small')


def test_a_file_cut_short_fails_what_is_asked_next(directory: Path) -> None:
    engine = Engine.open(directory, threads=1)
    os.truncate(directory / LAYER, 100)
    with pytest.raises(CheckpointError, match=r'00002.* has been changed while it was in use; load the model again'):
        engine.prefill(engine.new_cache(), TOKENS)


@pytest.mark.parametrize('threads', [1, 2])
def test_a_file_cut_short_in_the_middle_of_an_answer(directory: Path, threads: int,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading beyond the end of a mapped file sends SIGBUS to the thread that reads."""
    engine = Engine.open(directory, threads=min(threads, os.cpu_count() or 1))
    cache = engine.new_cache()
    engine.prefill(cache, TOKENS)
    monkeypatch.setattr(engine, 'check_files', lambda: '')  # the file is cut after that look at it
    os.truncate(directory / LAYER, 0)
    with pytest.raises(CheckpointError, match='has been cut short while it was in use'):
        engine.decode(cache, 6)
    assert cache.length == 0


def test_another_engine_goes_on(directory: Path, tmp_path: Path) -> None:
    other = small.write(tmp_path / 'other')
    engine, lost = Engine.open(other, threads=1), Engine.open(directory, threads=1)
    expected = engine.score(TOKENS)
    os.truncate(directory / LAYER, 0)
    with pytest.raises(CheckpointError):
        lost.score(TOKENS)
    assert np.array_equal(engine.score(TOKENS), expected)


def test_a_file_written_to(directory: Path) -> None:
    engine = Engine.open(directory, threads=1)
    with open(directory / LAYER, 'r+b') as file:
        file.seek(-1, os.SEEK_END)
        file.write(b'x')
    with pytest.raises(CheckpointError, match='has been changed'):
        engine.prefill(engine.new_cache(), TOKENS)


@pytest.mark.parametrize('removed', [True, False])
def test_a_model_that_is_replaced_answers_as_it_was(directory: Path, tmp_path: Path, removed: bool) -> None:
    engine = Engine.open(directory, threads=1)
    expected = engine.prefill(engine.new_cache(), TOKENS)
    assert engine.check_files() == ''
    shutil.rmtree(directory)
    if not removed:
        small.write(directory)
    assert np.array_equal(engine.prefill(engine.new_cache(), TOKENS), expected)
    assert engine.check_files() == (f'{directory}/model-00001-of-00004.safetensors has been replaced or removed; '
                                    'the model that was loaded still answers')


def test_an_own_copy_does_not_care(directory: Path) -> None:
    engine = Engine.open(directory, threads=1, staged=True)
    expected = engine.prefill(engine.new_cache(), TOKENS)
    os.truncate(directory / LAYER, 0)
    assert np.array_equal(engine.prefill(engine.new_cache(), TOKENS), expected)


def test_an_own_copy_computes_the_same(directory: Path) -> None:
    mapped, staged = Engine.open(directory, threads=1), Engine.open(directory, threads=1, staged=True)
    assert np.array_equal(mapped.score(TOKENS), staged.score(TOKENS))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def test_logits_wait_for_the_verification(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = threading.Event()
    differing = verification.differing

    def slow(*arguments: object) -> int | None:
        checked.wait(10)
        return differing(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(verification, 'differing', slow)
    engine = Engine.open(directory, threads=1, early=True)
    done = threading.Event()
    asking = threading.Thread(target=lambda: (engine.score(TOKENS), done.set()))
    asking.start()
    assert not done.wait(0.1)
    checked.set()
    asking.join(10)
    assert done.is_set()
    engine.close()


def test_no_logits_come_from_a_damaged_file_that_is_read_early(directory: Path) -> None:
    flip(directory / LAYER)
    engine = Engine.open(directory, threads=1, early=True)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r'00002.* is damaged'):
            engine.prefill(engine.new_cache(), TOKENS)
    engine.close()


def test_closing_ends_the_verification(directory: Path) -> None:
    before = threading.active_count()
    Engine.open(directory, threads=1, early=True).close()
    assert threading.active_count() == before


def test_only_sizes_are_looked_at_where_that_is_asked_for(directory: Path) -> None:
    flip(directory / LAYER)
    engine = Engine.open(directory, threads=1, verify='size')
    assert engine.prefill(engine.new_cache(), TOKENS).shape == (270,)


def test_two_processes_load_the_same_model_at_once(directory: Path) -> None:
    code = (f'from tinychat_core.engine import Engine; engine = Engine.open({str(directory)!r}, threads=1); '
            f'print(engine.score({TOKENS}).tobytes().hex())')
    loading = [subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate()[0] for process in loading]
    assert [process.returncode for process in loading] == [0, 0]
    assert answers[0] == answers[1] and answers[0]
