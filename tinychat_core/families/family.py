# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a file of this directory declares about a model family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.families.config import Config

# Ours -> theirs, without `.weight` and `.bias`; `{i}` is the decoder layer. The rows of several are stacked.
Names = Mapping[str, str | tuple[str, ...]]


def _silu(config: Mapping[str, Any]) -> dict[str, Any]:
    return {'hidden_act': 'silu'}


@dataclass(frozen=True)
class Gguf:
    """
    The family in GGUF files: the value of general.architecture, and its tensors' names.

    `hf_class` is config.json's `architectures`. `interleaved`: the rows of q and k lie in pairs that are rotated
    together. `options` makes what config.json has and a GGUF file has not, from what that has.
    """

    architecture: str
    hf_class: str
    tensors: Names
    interleaved: bool = False
    options: Callable[[Mapping[str, Any]], dict[str, Any]] = _silu


@dataclass(frozen=True)
class Family:
    """
    A model family, as far as anything has to know it by name.

    `model_types`: values of config.json's model_type. `describe` makes the description of the decoder (see
    checkpoint/model_config.py). `tensors` are Hugging Face's names, or make them from the configuration. A
    bias is taken wherever there is one. `ignored`: ends of the names of tensors that say nothing. `left_out`:
    beginnings of the names of what a model has beside its text part.
    `norm_offset` is added to the weights of norms. `row_order`: for a matrix of ours the rows of theirs in
    our order, from the description.
    """

    name: str
    model_types: tuple[str, ...]
    describe: Callable[[Config], dict[str, Any]]
    tensors: Names | Callable[[Config], Names]
    ignored: tuple[str, ...] = ('.inv_freq',)
    left_out: tuple[str, ...] = ()
    norm_offset: float = 0.0
    row_order: Mapping[str, Callable[[Mapping[str, Any]], npt.NDArray[np.intp]]] = field(default_factory=dict)
    gguf: Gguf | None = None

    def names(self, config: Config) -> Names:
        """Return Hugging Face's names for a model of this configuration."""
        return self.tensors(config) if callable(self.tensors) else self.tensors

    def in_gguf(self) -> Family:
        """Return the family as in GGUF files: their converter has added the offset and ordered the rows."""
        return replace(self, norm_offset=0.0, row_order={}, ignored=())
