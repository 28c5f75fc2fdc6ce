# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever ends a run of the writer: what is left is absent, resumable or whole."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

import pytest
import small_checkpoint as small

from tinychat_core.checkpoint.writer import SHARD_SIZE
from tinychat_core.errors import CheckpointError, TinyChatError
from tinychat_core.loading.reader import Checkpoint

HERE = Path(__file__).parents[1]
PROGRESS = 'tinychat-progress.json'


class PowerCut(BaseException):
    """Ends a run as no handler expects it."""


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a run that nothing disturbed, a shard a part."""
    return files(small.write(tmp_path_factory.mktemp('whole') / 'small'))


@pytest.fixture(scope='module')
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the same with all parts in one shard."""
    return files(small.write(tmp_path_factory.mktemp('together') / 'small', shard_size=SHARD_SIZE))


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def cut_off(monkeypatch: pytest.MonkeyPatch, count: int) -> Callable[[], bool]:
    """End the run at the `count`th call that makes something durable; tell whether it came to that."""
    calls = 0

    def after(real: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == count:
                raise PowerCut
            return real(*arguments)

        return called

    for name in ('fsync', 'replace', 'rename', 'unlink'):
        monkeypatch.setattr(os, name, after(getattr(os, name)))
    return lambda: calls >= count


@pytest.mark.parametrize(('kept', 'shard_size'), [('whole', 0), ('together', SHARD_SIZE)])
def test_a_run_that_ends_anywhere_leaves_nothing_that_loads_and_is_resumed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, kept: str,
        shard_size: int) -> None:
    """Every step that makes something durable, one after the other, until a run gets through."""
    whole = request.getfixturevalue(kept)
    for count in range(1, 100):
        out = tmp_path / f'{count}' / 'small'
        with monkeypatch.context() as patch, suppress(PowerCut):
            ended = cut_off(patch, count)
            small.write(out, shard_size=shard_size)
        if not ended():
            assert count > 15  # it was more than a few steps
            return
        if out.exists():  # the last steps come after the renaming
            assert files(out) == whole
            continue
        with pytest.raises(CheckpointError):
            Checkpoint.open(out)
        partial = out.with_name('small.partial')
        try:
            Checkpoint.open(partial)
        except CheckpointError:
            pass
        else:  # all was there but the name
            assert {name: files(partial)[name] for name in whole} == whole
        small.write(out, shard_size=shard_size)
        assert files(out) == whole and not out.with_name('small.partial').exists()
    pytest.fail('no run got through')


@pytest.mark.parametrize('order', [sorted, lambda paths: sorted(paths, reverse=True)])
def test_a_run_that_ends_while_it_removes_files_is_resumed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes], order: Callable[[Any], Any]) -> None:
    """In whatever order the file system lists them, what tells whose they are goes last."""
    listed = Path.iterdir
    monkeypatch.setattr(Path, 'iterdir', lambda path: iter(order(listed(path))))
    for count in range(1, 100):
        out = tmp_path / f'{count}' / 'small'
        partial = out.with_name('small.partial')
        small.write(out)
        out.rename(partial)  # all but the name
        with monkeypatch.context() as patch, suppress(PowerCut):
            ended = cut_off(patch, count)
            small.write(out)
        if not ended() or out.exists():
            return
        small.write(out)
        assert files(out) == whole
    pytest.fail('no run got through')


def test_a_killed_process_leaves_nothing_that_loads_and_is_resumed(tmp_path: Path,
                                                                   whole: dict[str, bytes]) -> None:
    out = tmp_path / 'small'
    kill = 'lambda index: index == 2 and os.kill(os.getpid(), signal.SIGKILL)'
    code = (f'import os, signal, sys; sys.path.insert(0, {str(HERE)!r}); import small_checkpoint as small\n'
            f'from pathlib import Path; small.write(Path({str(out)!r}), between={kill})')
    assert subprocess.run([sys.executable, '-c', code], cwd=HERE.parents[1]).returncode == -signal.SIGKILL
    assert not out.exists() and len(list(out.with_name('small.partial').glob('*.safetensors'))) == 2
    made: list[int] = []
    small.write(out, between=made.append)
    assert made == [2, 3]  # the first two were kept
    assert files(out) == whole


def interrupted(out: Path, at: int = 2) -> Path:
    """Leave OUT.partial with the parts before `at`; return it."""
    def stop(index: int) -> None:
        if index == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.write(out, between=stop)
    return out.with_name(out.name + '.partial')


def test_a_part_that_was_damaged_meanwhile_is_made_again(tmp_path: Path, whole: dict[str, bytes]) -> None:
    partial = interrupted(tmp_path / 'small')
    shard = partial / 'part-00002.safetensors'
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    made: list[int] = []
    assert files(small.write(tmp_path / 'small', between=made.append)) == whole
    assert made == [1, 2, 3]


@pytest.mark.parametrize('notes', [b'', b'{"identity"', b'[]', b'\xff', b'[' * 100_000,
                                   b'{"identity": {}, "done": [{}]}', b'{"identity": null, "done": 5, "files": []}'])
def test_damaged_notes_begin_anew(tmp_path: Path, whole: dict[str, bytes], notes: bytes) -> None:
    (interrupted(tmp_path / 'small') / PROGRESS).write_bytes(notes)
    assert files(small.write(tmp_path / 'small')) == whole


@pytest.mark.parametrize('change', [
    lambda note: note['shard'].update(file='../precious.safetensors'),
    lambda note: note['shard'].update(bytes='many'),
    lambda note: note['shard'].update(more=1),
    lambda note: note.update(tensors={'embedding': {'shard': 0, 'format': 'f16', 'rows': 'all', 'cols': 64}}),
    lambda note: note.update(tensors=None),
])
def test_notes_that_somebody_edited_lead_nowhere_else(tmp_path: Path, whole: dict[str, bytes],
                                                      change: Callable[[dict[str, Any]], Any]) -> None:
    partial = interrupted(tmp_path / 'small')
    precious = tmp_path / 'precious.safetensors'
    precious.write_bytes((partial / 'part-00001.safetensors').read_bytes())
    notes = json.loads((partial / PROGRESS).read_text())
    change(notes['done'][0])
    (partial / PROGRESS).write_text(json.dumps(notes))
    assert files(small.write(tmp_path / 'small')) == whole
    assert precious.exists()


def test_another_layout_begins_anew(tmp_path: Path) -> None:
    interrupted(tmp_path / 'small')
    manifest = Checkpoint.open(small.write(tmp_path / 'small', 'rows')).manifest
    assert {entry.layout for entry in manifest.tensors.values()} == {'rows'}


def test_what_exists_is_not_overwritten(tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = small.write(tmp_path / 'small')
    with pytest.raises(TinyChatError, match='small exists; remove it or choose another name'):
        small.write(out)
    assert files(out) == whole


def test_foreign_files_beside_it_are_left_alone(tmp_path: Path) -> None:
    partial = tmp_path / 'small.partial'
    (partial / 'photos').mkdir(parents=True)
    with pytest.raises(TinyChatError, match='photos was not written by tinychat'):
        small.write(tmp_path / 'small')
    assert (partial / 'photos').exists()


@pytest.mark.parametrize('name', ['thesis.json', 'progress.json', 'page.jinja', 'config.json', 'tinychat.json',
                                  'weights.safetensors'])
def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path, name: str) -> None:
    partial = tmp_path / 'small.partial'
    partial.mkdir()
    (partial / name).write_text('{"years": 4}')
    with pytest.raises(TinyChatError, match=f'{name} was not written by tinychat'):
        small.write(tmp_path / 'small')
    assert [path.read_text() for path in partial.iterdir()] == ['{"years": 4}']


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / 'home').mkdir()
    (tmp_path / 'small.partial').symlink_to(tmp_path / 'home')
    with pytest.raises(TinyChatError, match=r'small\.partial is a link'):
        small.write(tmp_path / 'small')
    assert not [*(tmp_path / 'home').iterdir()]


def test_a_linked_part_is_not_followed(tmp_path: Path) -> None:
    partial = interrupted(tmp_path / 'small')
    elsewhere = (partial / 'part-00001.safetensors').rename(tmp_path / 'elsewhere')
    (partial / 'part-00001.safetensors').symlink_to(elsewhere)
    with pytest.raises(TinyChatError, match=r'part-00001\.safetensors was not written by tinychat'):
        small.write(tmp_path / 'small')
    assert elsewhere.exists()


def test_two_processes_do_not_write_the_same(tmp_path: Path) -> None:
    def second(index: int) -> None:
        with pytest.raises(TinyChatError, match='another process is writing'):
            small.write(tmp_path / 'small')

    small.write(tmp_path / 'small', between=second)
    Checkpoint.open(tmp_path / 'small')


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(TinyChatError, match=r'cannot write .*file'):
        small.write(tmp_path / 'file' / 'small')


def test_a_full_disk_is_one_line_and_is_resumed(tmp_path: Path, whole: dict[str, bytes]) -> None:
    """A limit on the size of files stands in for it: the embedding's shard is the largest."""
    out = tmp_path / 'small'
    code = (f'import resource, sys; sys.path.insert(0, {str(HERE)!r}); import small_checkpoint as small\n'
            'from pathlib import Path\n'
            'from tinychat_core.errors import TinyChatError\n'
            'resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n'
            f'try: small.write(Path({str(out)!r}))\n'
            'except TinyChatError as error: print(error)')
    done = subprocess.run([sys.executable, '-c', code], cwd=HERE.parents[1], capture_output=True, text=True)
    assert done.stdout.startswith('cannot write ') and 'File too large' in done.stdout and not done.stderr
    assert not out.exists()
    assert files(small.write(out)) == whole
