# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What one sequence computes in a forward pass, and what is drawn for it."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinychat_core._tinychat import Cache, Sampler

# The CPU computes up to so many tokens of a sequence as if each were alone, bit for bit, and longer pieces of a prompt
# in another way (docs/architecture.md). kFewTokens in csrc/cpu.
FEW_TOKENS = 8


@dataclass(frozen=True)
class Step:
    """
    The tokens [n] that a sequence appends to its cache, and who draws what follows.

    `sampler` None: nothing is drawn; the tokens are a piece of a prompt. The last `guesses` tokens are guesses of what
    the sampler draws: it draws what follows the token before them, and what follows each guess as long as the guesses
    were right. `allowed`: a bit per token that may be drawn, uint32 [ceil(vocab/32)], with guesses
    [guesses + 1, ceil(vocab/32)]; None: all.
    """

    cache: Cache
    tokens: Sequence[int]
    sampler: Sampler | None = None
    guesses: int = 0
    allowed: Any = None


@dataclass(frozen=True)
class Drawn:
    """
    The tokens that a step has drawn; the sampler has accepted all of them but the last.

    `error`: why it drew no more, for example because the logits were not finite; '' if nothing is wrong. `logprobs`:
    Sampler.logprobs of each token, if the sampler records them.
    """

    tokens: Sequence[int] = ()
    error: str = ''
    logprobs: Sequence[tuple[float, Sequence[tuple[int, float]]]] = ()
