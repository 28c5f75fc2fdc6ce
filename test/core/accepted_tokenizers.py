# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: tokenizers and chat templates."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import small_huggingface as small
import torch

Case = Callable[[Path], Sequence[str]]


def directory(change: Callable[[Path], object]) -> Case:
    """Return a directory after a change of its small files."""
    def case(tmp_path: Path) -> Sequence[str]:
        made = small.save(tmp_path / 'theirs', small.tensors(torch.float16))
        change(made)
        return [str(made)]

    return case


CASES: dict[str, list[Case]] = {
    'a directory without `tokenizer.json`': [directory(lambda made: (made / 'tokenizer.json').unlink())],
}
