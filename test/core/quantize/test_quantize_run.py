# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat quantize` from end to end, on tiny models."""
from __future__ import annotations

import json
from pathlib import Path
import random
from typing import Any

from families.tiny_models import Reference
import numpy as np
import pytest
from safetensors.torch import load_file
import torch

from tinychat_core.cli import main
from tinychat_core.engine import Engine
from tinychat_core.errors import TinyChatError
from tinychat_core.loading.reader import Checkpoint
from tinychat_core.quantize import layer, run as runs
from tinychat_core.quantize.layer import LayerQuantizer
from tinychat_core.quantize.method import Method
from tinychat_core.quantize.run import quantize_model

LETTERS = 'abcdefghijklmnopqrstuvwxyz ,.\nABCDEFGHIJKLMNOP'


def letters(count: int, seed: int = 0) -> str:
    """Return a text, each letter of which is a token of the tiny models."""
    return ''.join(random.Random(seed).choices(LETTERS, k=count))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / 'text.txt'
    path.write_text(letters(2600))
    return path


def error(checkpoint: Path, precision: str, reference: Reference) -> float:
    """Return the squared error of the logits of another text, as a part of them."""
    tokens = list(letters(120, seed=1).encode())
    engine = Engine.open(checkpoint, precision, threads=1, max_seq_len=128)
    found, expected = engine.score(tokens), reference.score(tokens)
    engine.close()
    return float(np.square(found - expected).sum() / np.square(expected).sum())


def source(tmp_path: Path, name: str = 'llama, biases everywhere') -> Path:
    return Reference(name).save(tmp_path / 'theirs')


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@pytest.mark.slow
@pytest.mark.parametrize('name', [
    'llama, biases everywhere', 'falcon 7b', 'mpt, a power of two', 'opt', 'opt 350m', 'gemma2', 'qwen3',
    'phi3, a window'])
def test_awq_is_nearer_than_rounding(tmp_path: Path, text: Path, name: str) -> None:
    reference = Reference(name)
    directory = str(reference.save(tmp_path / 'theirs'))
    errors = {}
    for method in ('rtn', 'awq'):
        quantize_model(directory, tmp_path / method, Method.of(method, group_size=32), text)
        errors[method] = error(tmp_path / method, 'W4A16', reference)
    assert errors['awq'] < 0.9 * errors['rtn']


@pytest.mark.slow
@pytest.mark.parametrize('name', ['llama, biases everywhere', 'opt', 'opt 350m', 'falcon 7b'])
def test_smoothquant_runs_in_eight_bits(tmp_path: Path, text: Path, name: str) -> None:
    reference = Reference(name)
    quantize_model(str(reference.save(tmp_path / 'theirs')), tmp_path / 'ours', Method.of('smoothquant'), text)
    checkpoint = Checkpoint.open(tmp_path / 'ours')
    assert checkpoint.manifest.tensors['layers.0.attn.o'].format == 'w8c'
    assert error(tmp_path / 'ours', 'W8A8', reference) < 1e-2


def test_rounding_is_that_of_import(tmp_path: Path) -> None:
    directory = str(source(tmp_path))
    assert main(['quantize', directory, str(tmp_path / 'a'), '--method', 'rtn', '--group-size', '32']) == 0
    assert main(['import', directory, str(tmp_path / 'b'), '--weights', 'W4', '--group-size', '32']) == 0
    name = 'model-00001-of-00001.safetensors'
    assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()


def test_the_command_tells_errors_and_perplexities(tmp_path: Path, text: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    text.write_text(letters(4700))
    arguments = ['--group-size', '32', '--text', str(text)]
    assert main(['quantize', str(source(tmp_path)), str(tmp_path / 'ours'), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 3 + 2 and lines[0].split()[-1] == 'awq'
    before, after = (float(part) for part in lines[1].split()[1:])
    assert 0 < after < before
    assert lines[4].startswith('perplexity') and all(name in lines[4] for name in ('RTN', 'awq', 'reference'))
    assert not list(tmp_path.glob('ours.*'))


def test_a_run_that_was_cut_off_goes_on_to_the_same(
        tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    directory, method = str(source(tmp_path)), Method.of('awq', group_size=32)
    quantize_model(directory, tmp_path / 'whole', method, text)
    made: list[int] = []

    class CutOff(LayerQuantizer):
        def __init__(self, model: Any, index: int, *rest: Any) -> None:
            made.append(index)
            if index == 2 and made.count(2) == 1:
                raise KeyboardInterrupt
            super().__init__(model, index, *rest)

    monkeypatch.setattr(runs, 'LayerQuantizer', CutOff)
    arguments = ['quantize', directory, str(tmp_path / 'cut'), '--group-size', '32', '--text', str(text)]
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith('tinychat: error: stopped') and 'Traceback' not in ' '.join(lines)
    assert not (tmp_path / 'cut').exists() and (tmp_path / 'cut.calibration').exists()
    assert main(arguments) == 0
    assert made == [0, 1, 2, 2]
    assert files(tmp_path / 'cut') == files(tmp_path / 'whole')


def test_a_search_that_was_saved_gives_the_same(tmp_path: Path, text: Path) -> None:
    directory, method, kept = str(source(tmp_path)), Method.of('awq', group_size=32), tmp_path / 'kept.safetensors'
    quantize_model(directory, tmp_path / 'first', method, text, save_search=kept)
    quantize_model(directory, tmp_path / 'second', method, text, load_search=kept)
    for path in (tmp_path / 'first').glob('*.safetensors'):
        assert path.read_bytes() == (tmp_path / 'second' / path.name).read_bytes()
    with pytest.raises(TinyChatError, match='was made by --method awq --group-size 32'):
        quantize_model(directory, tmp_path / 'third', Method.of('smoothquant'), text, load_search=kept)


def test_a_scale_that_does_not_help_in_the_end_is_left_out(tmp_path: Path, text: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def poor(matrices: Any, *_: Any) -> Any:
        """Return a scale that makes the range of each group that of one channel."""
        scale = torch.ones(matrices[0].shape[1])
        scale[::32] = 1000
        return scale

    monkeypatch.setattr(layer, 'search', poor)
    kept = tmp_path / 'kept.safetensors'
    quantize_model(str(source(tmp_path)), tmp_path / 'ours', Method.of('awq', group_size=32), text, save_search=kept)
    scales = [scale for name, scale in load_file(kept).items() if name.endswith('input_scale')]
    assert len(scales) == 12 and all((scale == 1).all() for scale in scales)


def llm_awq(path: Path, **changes: Any) -> Path:
    """Write a search as llm-awq does, for the tiny LLaMA with biases: scale 2 before o, clips of v and down."""
    of = 'model.layers.{}.'
    content = {
        'scale': [(f'{of.format(i)}self_attn.v_proj', (f'{of.format(i)}self_attn.o_proj',),
                   torch.full((192,), 2.0)) for i in range(3)],
        'clip': [(f'{of.format(i)}{name}', torch.full((rows, groups, 1), 0.05)) for i in range(3)
                 for name, rows, groups in (('self_attn.v_proj', 64, 3), ('mlp.down_proj', 96, 5))]}
    torch.save({**content, **changes}, path)
    return path


def test_a_search_of_llm_awq(tmp_path: Path, text: Path) -> None:
    directory, method = str(source(tmp_path)), Method.of('awq', group_size=32)
    quantize_model(directory, tmp_path / 'ours', method, text, load_search=llm_awq(tmp_path / 'theirs.pt'))
    checkpoint, state = Checkpoint.open(tmp_path / 'ours'), Reference('llama, biases everywhere').state
    theirs = state['model.layers.0.self_attn.o_proj.weight'].numpy()
    difference = checkpoint.linear('layers.0.attn.o').dequantized() - 2 * theirs
    assert np.abs(difference).mean() < 0.2 * np.abs(2 * theirs).mean()
    v = checkpoint.linear('layers.0.attn.qkv').dequantized()[-64:]
    assert 0.02 < np.abs(v).max() < 0.03  # clipped at 0.05, divided by 2
    assert np.abs(checkpoint.linear('layers.0.attn.qkv').dequantized()[:256]).max() > 0.2  # q and k are not
    assert np.abs(checkpoint.linear('layers.0.mlp.down').dequantized()).max() < 0.06


def test_chats_calibrate_through_the_chat_template(tmp_path: Path) -> None:
    directory = source(tmp_path)
    (directory / 'tokenizer_config.json').write_text(json.dumps(
        {'chat_template': '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}'}))
    chat = [{'role': 'user', 'content': 'What is a map? ' * 20}, {'role': 'assistant', 'content': 'A picture. ' * 20}]
    lines = [json.dumps({'messages': chat}), '', json.dumps(chat)] * 3
    (tmp_path / 'chats.jsonl').write_text('\n'.join(lines))
    method = Method.of('awq', group_size=32)
    summary = quantize_model(str(directory), tmp_path / 'ours', method, tmp_path / 'chats.jsonl')
    assert len(summary.reports) == 3


@pytest.mark.slow
def test_without_a_text_the_one_that_comes_along_calibrates(tmp_path: Path) -> None:
    summary = quantize_model(str(source(tmp_path)), tmp_path / 'ours', Method.of('awq', 'W4A8', 32))
    assert len(summary.reports) == 3 and not summary.perplexities
