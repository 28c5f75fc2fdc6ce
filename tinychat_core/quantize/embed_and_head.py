# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a model computes before its first decoder layer and behind the last one, in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.writer import Content
from tinychat_core.quantize.decoder_layer import DecoderLayer


def embedded(model: Mapping[str, Any], first: Content, tokens: list[list[int]]) -> Tensor:
    """Return the residual before the first layer, [count, length, hidden], from the tensors of the first part."""
    hidden = _matrix(first['embedding'])[torch.tensor(tokens)] * model.get('embedding_scale', 1.0)
    if 'project_in' in first:
        hidden = functional.linear(hidden, _matrix(first['project_in']))
    if 'positions' in first:
        offset, length = model.get('position_offset', 0), hidden.shape[1]
        hidden = hidden + _matrix(first['positions'])[offset:offset + length]
    return hidden


class Head:
    """From the residual behind the last layer to logits."""

    def __init__(self, model: Mapping[str, Any], ends: Content) -> None:
        """Hold what the first and the last part have."""
        self._softcap = model.get('logit_softcap')
        self._vectors = {name: torch.from_numpy(np.asarray(tensor)) for name, tensor in ends.items()
                         if not isinstance(tensor, Linear)}
        self._norm = DecoderLayer(model, 0, self._vectors, 1)
        self._project = _matrix(ends['project_out']) if 'project_out' in ends else None
        self._matrix = _matrix(ends.get('head', ends['embedding']))

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return logits [..., vocab] of [..., hidden]."""
        hidden = self._norm.norm('norm', hidden)
        if self._project is not None:
            hidden = functional.linear(hidden, self._project)
        logits = functional.linear(hidden, self._matrix, self._vectors.get('head.bias'))
        return logits if self._softcap is None else torch.tanh(logits / self._softcap) * self._softcap


def _matrix(tensor: Any) -> Tensor:
    assert isinstance(tensor, Linear)
    return torch.from_numpy(tensor.weight)
