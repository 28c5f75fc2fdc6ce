# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The work of one sequence in a forward pass, and the tokens that are sampled for it."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinychat_core._tinychat import Cache, Sampler

# Up to this many tokens of a sequence in a pass have the same numbers on the CPU as if they were computed one by one.
# Longer pieces of a prompt are computed in another way (docs/architecture.md). kFewTokens in csrc/cpu.
FEW_TOKENS = 8


@dataclass(frozen=True)
class Step:
    """
    The tokens [n] that a sequence appends to its cache, and the sampler of the next ones.

    `sampler` None: nothing is sampled, because the tokens are a piece of a prompt. The last `guesses` tokens are
    guesses. The sampler samples the token after the one before them, and after each guess until one is wrong.
    `allowed`: one bit per token that may be sampled, uint32 [ceil(vocab/32)], with guesses [guesses + 1,
    ceil(vocab/32)]; None: all.
    """

    cache: Cache
    tokens: Sequence[int]
    sampler: Sampler | None = None
    guesses: int = 0
    allowed: Any = None


@dataclass(frozen=True)
class Drawn:
    """
    The tokens sampled in a step; the sampler has accepted all of them but the last.

    `error`: what stopped the sampler, for example logits that are not finite; '' if nothing did. `logprobs`:
    Sampler.logprobs of each token, if the sampler records them.
    """

    tokens: Sequence[int] = ()
    error: str = ''
    logprobs: Sequence[tuple[float, Sequence[tuple[int, float]]]] = ()
