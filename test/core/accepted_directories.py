# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: where the weights of a Hugging Face directory are, and in which type."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import small_huggingface as small
import torch

Case = Callable[[Path], Sequence[str]]


def directory(dtype: torch.dtype = torch.float16, shards: int = 1,
              change: Callable[[Path], None] = lambda _: None) -> Case:
    """Return a directory in a type and a number of shards, after a change."""
    def case(tmp_path: Path) -> Sequence[str]:
        made = small.save(tmp_path / 'theirs', small.tensors(dtype), shards=shards)
        change(made)
        return [str(made)]

    return case


def renamed(old: str, new: str) -> Callable[[Path], None]:
    def change(made: Path) -> None:
        (made / old).rename(made / new)

    return change


CASES: dict[str, list[Case]] = {
    '`model.safetensors` in F16 or BF16': [directory(), directory(torch.bfloat16)],
    'shards with `model.safetensors.index.json`': [directory(shards=3)],
    'weights only in `pytorch_model.bin`': [directory(change=renamed('model.safetensors', 'pytorch_model.bin'))],
}
