# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Ids of Hugging Face's hub: its client's copies serve without a network."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import plain_gguf
import pytest
from small_huggingface import expected, save, tensors
import tiny_llama
import torch

from tinychat_core.errors import TinyChatError
from tinychat_core.importers import import_model
from tinychat_core.loading.reader import Checkpoint


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


def gguf_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a repository of GGUF files where huggingface_hub keeps its copies; return the snapshot."""
    hub(tmp_path, monkeypatch, tensors())
    snapshot = next(tmp_path.glob('cache/*/snapshots/*'))
    for path in snapshot.iterdir():
        path.unlink()
    tiny_llama.save(snapshot / 'tiny.Q4_1.gguf', tiny_llama.tensors())
    (snapshot / 'sub').mkdir()
    plain_gguf.write_parts(snapshot / 'sub', tiny_llama.metadata(), tiny_llama.tensors(), 3)
    return snapshot


@pytest.mark.parametrize('name', ['tiny.Q4_1.gguf', 'sub/tiny-00001-of-00003.gguf', 'sub/tiny-00003-of-00003.gguf'])
def test_a_gguf_file_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    gguf_hub(tmp_path, monkeypatch)
    import_model(f'robots/tiny:{name}', tmp_path / 'ours')
    assert Checkpoint.open(tmp_path / 'ours').manifest.weights == 'W4'


def test_all_parts_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot, asked = gguf_hub(tmp_path, monkeypatch), []

    def download(model: str, allow_patterns: list[str], ignore_patterns: None) -> str:
        asked.append((model, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr('huggingface_hub.snapshot_download', download)
    import_model('robots/tiny:sub/tiny-00002-of-00003.gguf', tmp_path / 'ours')
    assert asked == [('robots/tiny', ['sub/tiny-?????-of-00003.gguf'])]


@pytest.mark.parametrize(('source', 'reason'), [
    ('robots/tiny:other.gguf', r'robots/tiny has no file other\.gguf \(it has tiny\.Q4_1\.gguf, sub/tiny'),
    ('robots/tiny', r'robots/tiny has no safetensors files; give robots/tiny:FILE\.gguf \(it has tiny\.Q4_1'),
    ('robots/tiny:Q4_1', r'robots/tiny:Q4_1 names no GGUF file; give robots/tiny:FILE\.gguf'),
    ('robots/tiny:../../../secret.gguf', 'does not exist; give a GGUF file'),
    ('robots/tiny:/etc/secret.gguf', 'does not exist; give a GGUF file')])
def test_what_is_no_file_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str) -> None:
    gguf_hub(tmp_path, monkeypatch)
    with pytest.raises(TinyChatError, match=reason):
        import_model(source, tmp_path / 'ours')
