# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat eval --compare`: a checkpoint against transformers."""
from __future__ import annotations

import json
import math
from pathlib import Path
import random

from families.tiny_models import Reference
import numpy as np
import pytest

from tinychat_core.cli import main
from tinychat_core.errors import InvalidParameterError
from tinychat_core.perplexity import compare


class Fixed:
    """Scores every token alike."""

    context_length = 16

    def __init__(self, probabilities: list[float]) -> None:
        self._logits = np.log(np.asarray(probabilities, np.float32))

    def score(self, tokens: object) -> np.ndarray:
        return np.tile(self._logits, (3, 1))


def test_figures_by_hand() -> None:
    result = list(compare(Fixed([0.5, 0.25, 0.25]), Fixed([0.25, 0.5, 0.25]), [[0, 0, 1]]))[-1]
    assert result.perplexity == pytest.approx(math.sqrt(2 * 4))
    assert result.reference_perplexity == pytest.approx(math.sqrt(4 * 2))
    assert result.kl_divergence == pytest.approx(0.25 * math.log(2))
    assert (result.top1_agreement, result.tokens) == (0, 2)


def test_vocabularies_that_differ_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match='the vocabularies differ: 2 and 3 tokens'):
        list(compare(Fixed([0.5, 0.5]), Fixed([0.25, 0.5, 0.25]), [[0, 0, 1]]))


@pytest.mark.parametrize(('name', 'windows'), [
    ('llama, biases everywhere', [64]), ('mpt', [64]), ('gemma3, one that sees images', [64]), ('falcon 11b', [64]),
    ('phi3, longrope', [64, 600]),  # 512 is the original context: beyond it, other factors
    ('llama, rope dynamic', [64, 2048])])
def test_a_checkpoint_of_16_bits_is_its_reference(
        name: str, windows: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = Reference(name).save(tmp_path / 'theirs')
    text = ''.join(random.Random(0).choices('abcdefgh ,.', k=2 * windows[-1]))
    (tmp_path / 'text.txt').write_text(text)
    assert main(['import', str(directory), str(tmp_path / 'ours')]) == 0
    for window in windows:
        capsys.readouterr()
        assert main(['eval', str(tmp_path / 'ours'), '--text', str(tmp_path / 'text.txt'), '--window', str(window),
                     '--max-windows', '2', '--json', '--compare', str(directory)]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found['perplexity'] == pytest.approx(found['reference_perplexity'], rel=1e-4)
        assert found['kl_divergence'] < 1e-6 and found['top1_agreement'] > 0.999
        assert found['tokens'] == 2 * (window - 1)


@pytest.mark.parametrize(('window', 'reason'), [
    ('1', '--window must be at least 2'), ('513', "--window must be at most 512, the model's context")])
def test_a_window_that_no_cache_holds(window: str, reason: str, tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['import', str(Reference('smollm2').save(tmp_path / 'theirs')), str(tmp_path / 'ours')]) == 0
    (tmp_path / 'text.txt').write_text('Robots need maps. ' * 40)
    assert main(['eval', str(tmp_path / 'ours'), '--text', str(tmp_path / 'text.txt'), '--window', window]) == 2
    assert reason in capsys.readouterr().err


def test_a_reference_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = Reference('llama, biases everywhere').save(tmp_path / 'theirs')
    (tmp_path / 'text.txt').write_text('Robots need maps. ' * 20)
    assert main(['import', str(directory), str(tmp_path / 'ours')]) == 0
    capsys.readouterr()
    assert main(['eval', str(tmp_path / 'ours'), '--text', str(tmp_path / 'text.txt'), '--window', '64', '--compare',
                 str(tmp_path / 'none')]) == 2
    assert 'has no config.json; give a Hugging Face directory to compare with' in capsys.readouterr().err
