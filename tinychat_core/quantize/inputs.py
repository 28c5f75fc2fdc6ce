# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics of the inputs of a matrix on the calibration text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tinychat_core.errors import TinyChatError

_SAMPLE = 512  # tokens


@dataclass(frozen=True)
class Inputs:
    """Gram matrix X'X [cols, cols] of all tokens, the largest magnitude [cols], and a sample [tokens, cols]."""

    gram: Tensor
    largest: Tensor
    sample: Tensor

    def squares(self, group_size: int, scale: Tensor) -> Tensor:
        """Return the Gram matrix of each group, [groups, columns, columns], of inputs divided by `scale` [cols]."""
        size = group_size or len(self.gram)
        return torch.stack([self.gram[part, part] / (scale[part, None] * scale[part]) for part in (
            slice(first, first + size) for first in range(0, len(self.gram), size))])


def gather(chunks: Iterable[Tensor], tokens: int) -> Inputs:
    """Return the statistics of `tokens` inputs, given in chunks [count, length, cols]."""
    gram, largest, sample = torch.zeros(0), torch.zeros(()), []
    step = -(-tokens // _SAMPLE)
    for chunk in chunks:
        x = chunk.reshape(-1, chunk.shape[-1])
        gram = x.T @ x if not len(gram) else gram.addmm_(x.T, x)
        largest = torch.maximum(largest, x.abs().amax(dim=0))
        sample.append(x[::step].clone())
    if not torch.isfinite(gram.diagonal().sum()):
        raise TinyChatError('the model computes NaN or infinity; its weights are damaged')
    return Inputs(gram, largest, torch.cat(sample))
