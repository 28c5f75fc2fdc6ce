# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a file of this directory declares about a model family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.mmproj import Mmproj
from tinychat_core.families.vision import Vision

# Our tensor name -> theirs, without `.weight` and `.bias`; `{i}` is the decoder layer. Several are stacked row by row.
Names = Mapping[str, str | tuple[str, ...]]


def _silu(config: Mapping[str, Any]) -> dict[str, Any]:
    return {'hidden_act': 'silu'}


@dataclass(frozen=True)
class Gguf:
    """
    The family in GGUF files: the value of general.architecture, and the names of its tensors.

    `hf_class` is the entry of config.json's `architectures`. `interleaved`: q and k store the two elements of a
    rotated pair in neighbouring rows. `options` adds the options of config.json that a GGUF file does not store.
    """

    architecture: str
    hf_class: str
    tensors: Names
    interleaved: bool = False
    options: Callable[[Mapping[str, Any]], dict[str, Any]] = _silu


@dataclass(frozen=True)
class Family:
    """
    A model family: the only place that knows a model's name.

    `model_types`: values of config.json's model_type. `tensors`: Hugging Face's names, or a function that makes them
    from the configuration; a bias is read wherever there is one. `ignored`: endings of names of tensors that carry no
    weights. `left_out`: beginnings of names of what a model has besides its text part, which `vision` may describe.
    `norm_offset` is added to the
    weights of norms. `row_order` returns, for a matrix of ours, which row of theirs each of our rows is.
    """

    name: str
    model_types: tuple[str, ...]
    model_config: Callable[[HfConfig], ModelConfig]
    tensors: Names | Callable[[HfConfig], Names]
    ignored: tuple[str, ...] = ('.inv_freq',)
    left_out: tuple[str, ...] = ()
    norm_offset: float = 0.0
    row_order: Mapping[str, Callable[[ModelConfig], npt.NDArray[np.intp]]] = field(default_factory=dict)
    gguf: Gguf | None = None
    vision: Vision | None = None
    mmproj: Mmproj | None = None

    def names(self, config: HfConfig) -> Names:
        """Return Hugging Face's tensor names for a model with this configuration."""
        return self.tensors(config) if callable(self.tensors) else self.tensors

    def in_gguf(self) -> Family:
        """Return the family as GGUF files store it: their converter has added the offset and ordered the rows."""
        return replace(self, norm_offset=0.0, row_order={}, ignored=(), vision=None, mmproj=None)
