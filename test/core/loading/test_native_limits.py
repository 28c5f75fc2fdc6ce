# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The limits of the C++ backends that Python plans with: each has one value on both sides."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

from tinychat_core.checkpoint.model_config import LARGEST_HEAD
from tinychat_core.loading import memory_plan

CSRC = Path(__file__).resolve().parents[3] / 'csrc'


def constant(name: str, folder: str = '') -> int:
    """Return the value of a constant that one header below csrc/`folder` defines."""
    found = [int(value) for path in sorted((CSRC / folder).rglob('*.h'))
             for value in re.findall(rf'constexpr int {name} = (\d+);', path.read_text())]
    assert len(found) == 1, f'{name} has {len(found)} definitions'
    return found[0]


@pytest.mark.parametrize(('ours', 'theirs'), [
    (LARGEST_HEAD, constant('kMaxHeadDim')),
    (memory_plan.KEY_GROUP, constant('kKeyGroup')),
    (memory_plan._PASS_TOKENS['cpu'], constant('kMaxSequenceTokens', 'cpu')),
    (memory_plan._PASS_TOKENS['cuda'], constant('kMaxSequenceTokens', 'cuda') + constant('kDecodeTokens', 'cuda')),
    (memory_plan._CUDA_LOGIT_TOKENS, constant('kLogitRows', 'cuda')),
], ids=['head', 'key group', 'pass on the CPU', 'pass on CUDA', 'logits on CUDA'])
def test_python_plans_with_the_limits_of_csrc(ours: int, theirs: int) -> None:
    assert ours == theirs
