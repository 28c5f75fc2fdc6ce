# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A tiny model that sees, as transformers has it and as the engine has it."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vision import tiny_smolvlm

from tinychat_core.engine import Engine
from tinychat_core.importers import import_model


@pytest.fixture(scope='session')
def reference() -> Any:
    """Return transformers' model."""
    return tiny_smolvlm.model()


@pytest.fixture(scope='session')
def source(reference: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the model's Hugging Face directory."""
    return tiny_smolvlm.save(reference, tmp_path_factory.mktemp('smolvlm') / 'model')


@pytest.fixture(scope='session')
def checkpoint(source: Path) -> Path:
    """Return the imported model."""
    import_model(str(source), source.parent / 'ours')
    return source.parent / 'ours'


@pytest.fixture(scope='session')
def engine(checkpoint: Path) -> Iterator[Engine]:
    """Return the imported model, opened."""
    opened = Engine.open(checkpoint, threads=2)
    yield opened
    opened.close()
