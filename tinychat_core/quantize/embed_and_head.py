# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The embedding and the head in torch: what a model computes before and after its decoder layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.writer import Content
from tinychat_core.quantize.decoder_layer import DecoderLayer


def embedded(model: ModelConfig, first: Content, tokens: list[list[int]]) -> Tensor:
    """Return the input of the first layer, [count, length, hidden], from the tensors of the embedding."""
    hidden = _matrix(first['embedding'])[torch.tensor(tokens)] * model.embedding_scale
    if 'project_in' in first:
        hidden = functional.linear(hidden, _matrix(first['project_in']))
    if 'positions' in first:
        offset, length = model.position_offset, hidden.shape[1]
        hidden = hidden + _matrix(first['positions'])[offset:offset + length]
    return hidden


class Head:
    """Computes logits from the output of the last layer."""

    def __init__(self, model: ModelConfig, tensors: Content) -> None:
        """Take the tensors of the embedding and the head."""
        self._softcap = model.logit_softcap
        self._vectors = {name: torch.from_numpy(np.asarray(tensor)) for name, tensor in tensors.items()
                         if not isinstance(tensor, Linear)}
        self._norm = DecoderLayer(model, 0, self._vectors, 1)
        self._project = _matrix(tensors['project_out']) if 'project_out' in tensors else None
        self._matrix = _matrix(tensors.get('head', tensors['embedding']))

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return logits [..., vocab] of [..., hidden]."""
        hidden = self._norm.norm('norm', hidden)
        if self._project is not None:
            hidden = functional.linear(hidden, self._project)
        logits = functional.linear(hidden, self._matrix, self._vectors.get('head.bias'))
        return logits if not self._softcap else torch.tanh(logits / self._softcap) * self._softcap


def _matrix(tensor: Any) -> Tensor:
    assert isinstance(tensor, Linear)
    return torch.from_numpy(tensor.weight)
