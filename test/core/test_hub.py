# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Ids of Hugging Face's hub: its client's copies serve without a network."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_huggingface import expected, save, tensors
import torch

from tinychat_core.checkpoint.reader import Checkpoint
from tinychat_core.errors import TinyChatError
from tinychat_core.importers import import_model


def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict[str, torch.Tensor]) -> None:
    """Put a model where huggingface_hub keeps its copies, and let there be no network."""
    repository = tmp_path / 'cache' / 'models--robots--tiny'
    (repository / 'refs').mkdir(parents=True)
    (repository / 'refs' / 'main').write_text('0123abcd')
    save(repository / 'snapshots' / '0123abcd', made)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)


def test_an_id_of_the_hub_is_found_in_its_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tensors(torch.float16)
    hub(tmp_path, monkeypatch, made)
    import_model('robots/tiny', tmp_path / 'ours')
    head = Checkpoint.open(tmp_path / 'ours').linear('head')
    assert np.array_equal(head.dequantized(), expected(made, 'head'))


def test_an_id_of_which_there_is_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(tmp_path, monkeypatch, tensors())
    with pytest.raises(TinyChatError, match='cannot get robots/huge from the hub: '):
        import_model('robots/huge', tmp_path / 'ours')
    assert not (tmp_path / 'ours').exists()


def test_a_copy_that_is_not_whole_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(tmp_path, monkeypatch, tensors())
    (next(tmp_path.glob('cache/*/snapshots/*')) / 'model.safetensors').unlink()
    with pytest.raises(TinyChatError, match=r'has no weights: neither model\.safetensors nor .*; get the model again'):
        import_model('robots/tiny', tmp_path / 'ours')
