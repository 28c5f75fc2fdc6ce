# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The family of docs/adding-a-model.md, taken from the page as it stands there."""
from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import re

from families.tiny_models import Reference
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tinychat_core import families
from tinychat_core.engine import Engine
from tinychat_core.importers import import_model

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'adding-a-model.md'
SCALE = 2.5


@pytest.fixture
def starling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Put the page's code where families are looked for; return it."""
    (code,) = re.findall(r'```python\n(.*?)```', PAGE.read_text(encoding='utf-8'), re.DOTALL)
    (tmp_path / 'more').mkdir()
    (tmp_path / 'more' / 'starling.py').write_text(code)
    monkeypatch.setattr(families, '__path__', [*families.__path__, str(tmp_path / 'more')])
    families.families.cache_clear()
    yield code
    families.families.cache_clear()


def test_it_is_short(starling: str) -> None:
    assert len(starling.splitlines()) < 40


def test_it_is_found_and_runs(starling: str, tmp_path: Path) -> None:
    reference = Reference('llama 3')
    source = reference.save(tmp_path / 'model')
    config = json.loads((source / 'config.json').read_text())
    (source / 'config.json').write_text(json.dumps({**config, 'model_type': 'starling', 'embedding_multiplier': SCALE}))
    renamed = {}
    for name, tensor in load_file(source / 'model.safetensors').items():
        renamed[name.replace('self_attn.o_proj', 'attention.wo')] = tensor
    for i in range(3):
        parts = [renamed.pop(f'model.layers.{i}.self_attn.{part}_proj.weight') for part in 'qkv']
        renamed[f'model.layers.{i}.attention.wqkv.weight'] = parts[0].new_tensor(np.concatenate([
            part.float().numpy() for part in parts]))
    save_file(renamed, source / 'model.safetensors')
    import_model(str(source), tmp_path / 'ours')
    name = 'model.embed_tokens.weight'
    reference.load({name: reference.state[name].numpy() * np.float32(SCALE)})
    tokens, engine = list(range(40)), Engine.open(tmp_path / 'ours')
    expected = reference.score(tokens)
    assert np.abs(engine.score(tokens) - expected).max() <= 1e-3 * np.abs(expected).max()
    assert engine.family == 'starling'
    engine.close()


def test_without_the_file_it_is_unknown() -> None:
    assert 'starling' not in {family.name for family in families.families()}
