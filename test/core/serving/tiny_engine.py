# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A real engine: a model of two random layers, whose tokens are bytes; a prompt is the texts of its messages."""

from __future__ import annotations

from pathlib import Path

import tiny_llama

from tinychat_core.engine import Engine
from tinychat_core.importers import import_model


def tiny_engine(directory: Path, precision: str = 'W4A16') -> Engine:
    """Make the model in a directory, and open it."""
    source = tiny_llama.save(directory / 'tiny.gguf', tiny_llama.interleaved(tiny_llama.tensors()))
    import_model(str(source), directory / 'tiny')
    return Engine.open(directory / 'tiny', precision, threads=1)
