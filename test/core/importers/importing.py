# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Import a model into the folder `ours` of a test: the checkpoint, or the line that refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinychat_core.errors import TinyChatError
from tinychat_core.importers import import_model
from tinychat_core.loading.reader import Checkpoint


def imported(tmp_path: Path, source: Path, **options: Any) -> Checkpoint:
    """Return the checkpoint of an imported model."""
    import_model(str(source), tmp_path / 'ours', **options)
    return Checkpoint.open(tmp_path / 'ours')


def refused(tmp_path: Path, source: Path, **options: Any) -> str:
    """Return the one line with which an import is refused; it leaves nothing behind."""
    with pytest.raises(TinyChatError) as caught:
        import_model(str(source), tmp_path / 'ours', **options)
    assert not (tmp_path / 'ours').exists() and '\n' not in str(caught.value)
    return str(caught.value)
