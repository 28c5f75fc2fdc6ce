# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a user may choose of the CPU engine, and what the engine leaves out of the weights that it reads."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_checkpoint as small

from tinychat_core.cores import usable_cores
from tinychat_core.engine import Engine
from tinychat_core.errors import InvalidParameterError
from tinychat_core.loading.native_tensors import native_tensor
from tinychat_core.loading.reader import Checkpoint


@pytest.mark.parametrize('threads', [0, -1, usable_cores().logical + 1])
def test_threads_that_this_process_has_not(tmp_path: Path, threads: int) -> None:
    with pytest.raises(InvalidParameterError, match=r'threads must be 1 \.\. \d+'):
        Engine.open(small.write(tmp_path / 'small'), threads=threads)


@pytest.mark.parametrize('isa', ['sse9', 'neon' if 'avx2' in Path('/proc/cpuinfo').read_text() else 'avx2'])
def test_an_instruction_set_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isa: str) -> None:
    monkeypatch.setenv('TINYCHAT_ISA', isa)
    with pytest.raises(InvalidParameterError, match=f"TINYCHAT_ISA='{isa}' is not available here; use .*generic"):
        Engine.open(small.write(tmp_path / 'small'))


def test_symmetric_weights_are_read_without_their_zeros(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(small.write(tmp_path / 'small'))
    centered = {name: native_tensor(checkpoint, name) for name in checkpoint.manifest.tensors}
    same = dict(centered)  # s * q + m means the same where m = -8 s
    zeros = 0
    for name, tensor in centered.items():
        if isinstance(tensor, dict) and tensor['format'] == 'w4z':
            zeros += tensor['zeros'].nbytes
            mins = (-8 * tensor['scales']).astype(np.float16)
            same[name] = {**{key: tensor[key] for key in tensor if key != 'zeros'}, 'format': 'w4m', 'mins': mins}
            centered[name] = {**tensor, 'zeros': np.full_like(tensor['zeros'], 0x88)}
    engine, other = (Engine(small.MODEL, tensors, weights='W4', precision='W4A16', threads=1)
                     for tensors in (centered, same))
    assert zeros and engine.token_bytes == engine.weights_bytes - zeros - centered['embedding']['weight'].nbytes
    assert np.array_equal(engine.score([1, 2, 3]), other.score([1, 2, 3]))
