# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat eval --compare`: a checkpoint against transformers."""
from __future__ import annotations

import json
import math
from pathlib import Path

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


def test_a_checkpoint_of_16_bits_is_its_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = Reference('llama, biases everywhere').save(tmp_path / 'theirs')
    (tmp_path / 'text.txt').write_text('Robots need maps. ' * 20)
    assert main(['import', str(directory), str(tmp_path / 'ours')]) == 0
    capsys.readouterr()
    arguments = ['eval', str(tmp_path / 'ours'), '--text', str(tmp_path / 'text.txt'), '--window', '64', '--json']
    assert main([*arguments, '--compare', str(directory)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['perplexity'] == pytest.approx(found['reference_perplexity'], rel=1e-3)
    assert found['kl_divergence'] < 1e-4 and found['top1_agreement'] == 1 and found['tokens'] == 5 * 63


def test_a_reference_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = Reference('llama, biases everywhere').save(tmp_path / 'theirs')
    (tmp_path / 'text.txt').write_text('Robots need maps. ' * 20)
    assert main(['import', str(directory), str(tmp_path / 'ours')]) == 0
    capsys.readouterr()
    assert main(['eval', str(tmp_path / 'ours'), '--text', str(tmp_path / 'text.txt'), '--window', '64', '--compare',
                 str(tmp_path / 'none')]) == 2
    assert 'has no config.json; give a Hugging Face directory to compare with' in capsys.readouterr().err
