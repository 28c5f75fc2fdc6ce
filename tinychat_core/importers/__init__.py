# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""From what people have to a split checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tinychat_core.errors import TinyChatError


def import_model(source: str, out: Path, layout: str | None = None,
                 progress: Callable[[float], None] = lambda _: None) -> None:
    """
    Write the split checkpoint `out` from `source`, a GGUF file.

    `progress` is told the fraction done. Raises TinyChatError for what cannot be imported; then `out` does
    not exist.
    """
    path = Path(source)
    if not path.exists():
        raise TinyChatError(f'{source} does not exist; give a GGUF file')
    if path.is_dir():
        raise TinyChatError(f'{source} is a directory; give a GGUF file')
    from tinychat_core.importers.gguf import import_gguf

    import_gguf(path, out, layout, progress)
