# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What `tinychat quantize` refuses: one line that says what to do, exit code 2, and nothing that loads."""
from __future__ import annotations

import errno
from pathlib import Path
import pickle
import subprocess
import sys
from typing import Any

import pytest
from safetensors import SafetensorError
from small_huggingface import changed, save, tensors
import torch

from tinychat_core.checkpoint import writer
from tinychat_core.cli import main
from tinychat_core.errors import TinyChatError
from tinychat_core.loading.reader import Checkpoint
from tinychat_core.quantize import progress_file


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / 'text.txt'
    path.write_text('Robots need maps. ' * 150)
    return path


def refused(capsys: pytest.CaptureFixture[str], source: Path, *options: str) -> str:
    """Return the one line of a run that fails."""
    out = source.with_name('ours')
    assert main(['quantize', str(source), str(out), '--group-size', '32', *options]) == 2
    assert not out.exists()
    for left in out.parent.glob('ours.*'):  # what the next run goes on with
        with pytest.raises(TinyChatError):
            Checkpoint.open(left)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith('quantize ')]
    assert len(lines) == 1 and lines[0].startswith('tinychat: error: ')
    return lines[0]


def test_a_missing_shard(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = save(tmp_path / 'theirs', tensors(), shards=3)
    (directory / 'model-00002-of-00003.safetensors').unlink()
    line = refused(capsys, directory, '--text', str(text))
    assert 'model-00002-of-00003.safetensors is missing; get the file again' in line


def test_weights_that_can_hold_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    (directory / 'model.safetensors').rename(directory / 'pytorch_model.bin')
    assert 'weights in .bin files, which can contain code; save them as safetensors' in refused(capsys, directory)


@pytest.mark.parametrize('number', [torch.nan, torch.inf])
@pytest.mark.parametrize('method', ['awq', 'rtn'])
def test_weights_that_are_not_finite(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str], number: float,
                                     method: str) -> None:
    made = changed(tensors(), model__layers__1__mlp__down_proj__weight=torch.full((64, 96), number))
    calibrating = ['--text', str(text)] if method == 'awq' else []
    line = refused(capsys, save(tmp_path / 'theirs', made), '--method', method, *calibrating)
    assert 'layers.1.mlp.down has weights that are not finite numbers' in line


@pytest.mark.parametrize('method', ['awq', 'rtn'])
def test_a_norm_that_is_not_finite(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str],
                                   method: str) -> None:
    made = changed(tensors(), model__layers__1__input_layernorm__weight=torch.full((64,), torch.inf))
    calibrating = ['--text', str(text)] if method == 'awq' else []
    line = refused(capsys, save(tmp_path / 'theirs', made), '--method', method, *calibrating)
    assert 'model.layers.1.input_layernorm.weight has numbers that are not finite' in line


def test_weights_that_compute_what_is_not_finite(tmp_path: Path, text: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    made = changed(tensors(), model__layers__0__self_attn__v_proj__weight=torch.full((32, 64), 3e38))
    line = refused(capsys, save(tmp_path / 'theirs', made), '--text', str(text))
    assert 'the model computes NaN or infinity; its weights are damaged' in line


def test_a_group_size_that_does_not_divide_a_width(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, save(tmp_path / 'theirs', tensors()), '--group-size', '64')
    assert 'a group size of 64 does not divide a width of 96: use 32' in line


def test_a_width_that_no_group_size_divides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, save(tmp_path / 'theirs', tensors(), {'intermediate_size': 80}))
    assert 'a group size of 32 does not divide a width of 80: none does; `tinychat import --weights W16`' in line


def test_an_architecture_without_a_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the model type 't5' is not supported" in refused(
        capsys, save(tmp_path / 'theirs', tensors(), {'model_type': 't5'}))


@pytest.mark.parametrize(('content', 'reason'), [
    (b'', 'has 0 tokens, but calibration needs 2048 or more'), (b'short', 'has 5 tokens'),
    (b'\xff\xfe', 'is not UTF-8 text')])
def test_a_text_that_is_too_short_or_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes,
                                          reason: str) -> None:
    (tmp_path / 'text.txt').write_bytes(content)
    assert reason in refused(capsys, save(tmp_path / 'theirs', tensors()), '--text', str(tmp_path / 'text.txt'))


@pytest.mark.parametrize('line', ['{', '7', '{"messages": 1}', '[{"role": "user"}]'])
def test_chats_that_are_none_are_told_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    (tmp_path / 'chats.jsonl').write_text('\n' + line)
    assert 'chats.jsonl, line 2: give a chat as' in refused(
        capsys, save(tmp_path / 'theirs', tensors()), '--text', str(tmp_path / 'chats.jsonl'))


def test_a_text_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, save(tmp_path / 'theirs', tensors()), '--text', str(tmp_path / 'none'))
    assert 'cannot read' in line and 'No such file' in line


class Code:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        """Say that a file is to be written."""
        return Path.touch, (Path('pickle-has-run'),)


def test_a_pickle_that_wants_code(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str],
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({'scale': [], 'clip': Code()}, tmp_path / 'search.pt')
    line = refused(capsys, save(tmp_path / 'theirs', tensors()), '--text', str(text), '--load-search', 'search.pt')
    assert 'search.pt would run code when opened' in line
    assert not (tmp_path / 'pickle-has-run').exists()


@pytest.mark.parametrize(('name', 'content', 'reason'), [
    ('a.pt', b'', 'a.pt'), ('a.pt', b'PK\x03\x04 no archive', 'a.pt'),
    ('a.pt', pickle.dumps({'scale': 1}), 'a.pt'), ('a.safetensors', b'', 'is damaged'),
    ('a.safetensors', b'\x02\0\0\0\0\0\0\0{}', 'is not a search result of this release'),
])
def test_a_search_that_is_damaged(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str], name: str,
                                  content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert reason in refused(capsys, save(tmp_path / 'theirs', tensors()), '--text', str(text), '--load-search',
                             str(tmp_path / name))


@pytest.mark.parametrize(('content', 'reason'), [
    ({'scale': [], 'clip': []}, 'other decoder layers'), ({}, 'is not an llm-awq search'),
    ({'scale': [('x', ('model.layers.9.mlp.down_proj',), torch.ones(96))], 'clip': []}, 'is not an llm-awq search'),
    ({'scale': [('x', (f'model.layers.{i}.mlp.down_proj',), torch.ones(95)) for i in range(2)], 'clip': []},
     'has the shape [95] instead of [96]'),
    ({'scale': [('x', (f'model.layers.{i}.mlp.down_proj',), torch.zeros(96)) for i in range(2)], 'clip': []},
     'invalid numbers'),
])
def test_a_search_of_another_model(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str],
                                   content: dict[str, Any], reason: str) -> None:
    torch.save(content, tmp_path / 'search.pt')
    assert reason in refused(capsys, save(tmp_path / 'theirs', tensors()), '--text', str(text), '--load-search',
                             str(tmp_path / 'search.pt'))


def test_a_full_disk(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str],
                     monkeypatch: pytest.MonkeyPatch) -> None:
    whole = writer.write_shard

    def full(path: Path, arrays: Any) -> None:
        if '00003' in path.name:
            raise OSError(errno.ENOSPC, 'No space left on device', str(path))
        whole(path, arrays)

    monkeypatch.setattr(writer, 'write_shard', full)
    line = refused(capsys, save(tmp_path / 'theirs', tensors()), '--text', str(text))
    assert 'cannot write' in line and 'No space left on device' in line


def test_a_full_disk_where_progress_is_kept(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise SafetensorError('Error while serializing: I/O error: No space left on device (os error 28)')

    monkeypatch.setattr(progress_file, 'save_file', full)
    line = refused(capsys, save(tmp_path / 'theirs', tensors()), '--text', str(text))
    assert 'cannot write' in line and 'ours.calibration' in line and 'No space left on device' in line


def test_ctrl_c(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str],
                monkeypatch: pytest.MonkeyPatch) -> None:
    whole = writer.write_shard

    def interrupted(path: Path, arrays: Any) -> None:
        if '00003' in path.name:
            raise KeyboardInterrupt
        whole(path, arrays)

    monkeypatch.setattr(writer, 'write_shard', interrupted)
    for options in (['--text', str(text)], ['--method', 'rtn']):
        line = refused(capsys, save(tmp_path / 'theirs', tensors()), *options)
        assert 'was complete; run the same command again to continue' in line


def test_a_method_that_does_not_make_a_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    for method, precision in (('awq', 'W8A8'), ('smoothquant', 'W4A16')):
        assert f'--method {method} does not support --precision {precision}' in refused(
            capsys, directory, '--method', method, '--precision', precision)


@pytest.mark.parametrize('option', ['--text', '--save-search', '--load-search'])
def test_an_option_that_the_method_has_no_use_for(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                  option: str) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    assert f'leave out {option}' in refused(capsys, directory, '--method', 'rtn', option, str(tmp_path / 'file'))


@pytest.mark.parametrize('name', ['ours.calibration/chats.jsonl', 'ours.partial/weights.safetensors'])
def test_files_of_somebody_else_where_progress_is_kept(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str],
                                                       name: str) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir()
    theirs.write_text('mine')
    line = refused(capsys, save(tmp_path / 'theirs', tensors()), '--text', str(text))
    assert f'{theirs} was not written by tinychat' in line
    assert theirs.read_text() == 'mine'


def test_without_torch_the_line_says_how_to_get_it(tmp_path: Path) -> None:
    code = ("import sys; sys.modules['torch'] = None\n"
            "from tinychat_core.cli import main; sys.exit(main(['quantize', 'a', 'b']))")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert (done.returncode, done.stderr) == (2, 'tinychat: error: quantizing needs torch: pip install torch\n')
