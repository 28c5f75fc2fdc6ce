# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tokens that are chosen where the logits are: those that the sampler draws of a whole row."""
from __future__ import annotations

from typing import Any

from core.small_checkpoint import write
from cuda_on_host import LIBRARY
import numpy as np
import numpy.typing as npt
import pytest

from tinychat_core._tinychat import Sampler
from tinychat_core.engine import Engine

SETTINGS: list[dict[str, Any]] = [
    {},
    {'repetition_penalty': 1.8},
    {'temperature': 0.8, 'top_k': 40, 'top_p': 0.95},
    {'temperature': 2.0, 'top_k': 64, 'min_p': 0.05, 'repetition_penalty': 1.3},
    {'temperature': 1.5, 'top_k': 100},  # more than the device finds: a row is read
    {'temperature': 1.0, 'top_p': 0.9},
    {'dry_multiplier': 2.0, 'dry_allowed_length': 1},
    {'dry_multiplier': 0.8, 'repetition_penalty': 1.2},
    {'temperature': 2.0, 'top_k': 40, 'top_p': 0.95, 'dry_multiplier': 3.0, 'dry_allowed_length': 1},
    {'temperature': 2.0, 'top_k': 64, 'dry_multiplier': 3.0, 'dry_allowed_length': 1},  # more than the device finds
]
TOKENS = 12
# What was said before: repetitions of one token and of many, so that there is something to penalize.
SAID = [*range(40, 60), 5, 6, 7, 5, 8, *range(40, 60), 5, 9, 5]


@pytest.fixture(scope='module')
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TINYCHAT_CUDA_LIBRARY', str(LIBRARY))
        return Engine.open(write(tmp_path_factory.mktemp('small') / 'model'), backend='cuda', max_seq_len=64)


def mask(engine: Engine, step: int) -> npt.NDArray[np.uint32]:
    """Return a mask that lets every third token through, other ones in each step."""
    bits = np.arange(engine.vocab_size) % 3 == step % 3
    packed = np.packbits(np.pad(bits, (0, -len(bits) % 32)), bitorder='little')
    return packed.view(np.uint32)


@pytest.mark.parametrize('masked', [False, True], ids=['all', 'some'])
@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_the_same_tokens_as_of_a_row(settings: dict[str, Any], masked: bool, engine: Engine) -> None:
    chosen, drawn = [5, 6, 7], [5, 6, 7]
    on_device, of_row = Sampler(3, **settings), Sampler(3, **settings)
    caches = engine.new_cache(), engine.new_cache()
    for token in SAID:
        on_device.accept(token)
        of_row.accept(token)
    read = 0
    for step in range(TOKENS):
        allowed = mask(engine, step) if masked else None
        chosen.append(engine.sample(caches[0], chosen[read:], on_device, allowed))
        drawn.append(of_row.sample(engine.prefill(caches[1], drawn[read:]), allowed))
        on_device.accept(chosen[-1])
        of_row.accept(drawn[-1])
        read = caches[0].length
    assert chosen == drawn


def test_a_mask_without_tokens_is_an_error(engine: Engine) -> None:
    with pytest.raises(ValueError, match='no token is allowed'):
        engine.sample(engine.new_cache(), [1, 2], Sampler(0), np.zeros(-(-engine.vocab_size // 32), np.uint32))


def test_a_short_mask_is_an_error(engine: Engine) -> None:
    with pytest.raises(ValueError, match='fewer bits'):
        engine.sample(engine.new_cache(), [1, 2], Sampler(0), np.zeros(1, np.uint32))
