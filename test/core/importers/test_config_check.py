# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What config.json says and the tensors do not: which of them an imported model follows."""
from __future__ import annotations

from pathlib import Path

from importing import imported
import numpy as np
import pytest
import small_huggingface as small
import torch

from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families import model_config

LINEAR = {'type': 'linear', 'factor': 4.0}


def test_a_head_of_its_own_is_used_though_the_configuration_ties_it(tmp_path: Path) -> None:
    made = small.tensors(torch.float16)
    model = imported(tmp_path, small.save(tmp_path / 'theirs', made, {'tie_word_embeddings': True}))
    assert model.manifest.model.tied_head is False
    assert np.array_equal(model.linear('head').dequantized(), small.expected(made, 'head'))


def test_a_copy_of_the_embedding_stays_tied(tmp_path: Path) -> None:
    made = small.tensors(torch.float16)
    made['lm_head.weight'] = made['model.embed_tokens.weight'].clone()
    model = imported(tmp_path, small.save(tmp_path / 'theirs', made, {'tie_word_embeddings': True}))
    assert model.manifest.model.tied_head is True


@pytest.mark.parametrize(('newer', 'older', 'top', 'theta'), [
    ({'rope_type': 'default', 'rope_theta': 5e5}, {**LINEAR, 'rope_theta': 5e5}, {}, 5e5),
    ({'rope_type': 'default', 'rope_theta': 5e5}, LINEAR, {'rope_theta': 5e5}, 5e5),
    ({'rope_type': 'yarn', 'factor': 2.0, 'rope_theta': 1e4}, LINEAR, {}, 1e4),
    ({'rope_type': 'yarn', 'factor': 2.0}, LINEAR, {'rope_theta': 5e5}, 5e5),
    ({**LINEAR, 'rope_theta': 5e5}, {}, {}, 5e5),
])
def test_scaling_in_the_older_way_replaces_the_newer_one(newer: dict[str, float], older: dict[str, float],
                                                         top: dict[str, float], theta: float) -> None:
    both = model_config({**small.CONFIG, 'rope_scaling': older, 'rope_parameters': newer, **top})
    assert both == model_config({**small.CONFIG, 'rope_scaling': LINEAR, 'rope_theta': theta})


@pytest.mark.parametrize(('newer', 'older', 'top'), [
    ({'rope_type': 'default', 'rope_theta': 5e5}, LINEAR, {}),  # transformers takes 10000
    ({'rope_type': 'default', 'rope_theta': 5e5}, LINEAR, {'rope_theta': 1e6}),
    ({'rope_type': 'default', 'rope_theta': 5e5}, {**LINEAR, 'rope_theta': 1e6}, {}),
    ({'rope_type': 'default', 'partial_rotary_factor': 0.5}, LINEAR, {}),
])
def test_a_base_that_the_older_way_would_drop_is_told(newer: dict[str, float], older: dict[str, float],
                                                      top: dict[str, float]) -> None:
    with pytest.raises(UnsupportedModelError, match='of rope_parameters is ignored next to rope_scaling'):
        model_config({**small.CONFIG, 'rope_scaling': older, 'rope_parameters': newer, **top})


def test_a_token_of_minus_one_is_none() -> None:
    found = model_config({**small.CONFIG, 'bos_token_id': -1, 'eos_token_id': [2, -1]})
    assert (found.bos_token_id, found.eos_token_ids) == (None, [2])
