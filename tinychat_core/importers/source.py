# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The interface of everything that a model can be imported from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.families.family import Family, Names


class Source(Protocol):
    """Tensors by name, each read on demand; errors are a TinyChatError that names the file."""

    @property
    def label(self) -> str:
        """Name of the source in messages."""

    @property
    def names(self) -> Collection[str]:
        """All tensors."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor: [rows, cols] or [n]."""

    def matrix(self, name: str) -> Linear:
        """Return a matrix as it is stored, unpacked; its format may be f32."""

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Return a vector of numbers."""

    def forget(self) -> None:
        """Release the memory of the tensors that were read; they are read again on demand."""


@dataclass(frozen=True)
class SourceModel:
    """
    A model that can be imported.

    `names` maps our tensor names to the source's; `files` are the small files by name. `identity` distinguishes this
    source from others. `name` is the name under which the model was published, as far as it is known.
    """

    source: Source
    family: Family
    names: Names
    config: ModelConfig
    files: Mapping[str, bytes]
    identity: Mapping[str, str]
    name: str
    vision: VisionConfig | None = None  # None: the model sees no images
