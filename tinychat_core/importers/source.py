# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What an importer reads from, whatever the files are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.families.family import Family, Names


class Source(Protocol):
    """Tensors by name, each read when it is asked for; errors are a TinyChatError that names the file."""

    @property
    def label(self) -> str:
        """What to call it in a message."""

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
        """Let go of the memory of what was read so far; it is read again on demand."""


@dataclass(frozen=True)
class Opened:
    """
    A model that can be imported.

    `names` are the source's for our tensors, `model` is the description, `files` are the small ones by name.
    `identity` tells this source from another one. `name` is what the model was published as, as far as it is known.
    """

    source: Source
    family: Family
    names: Names
    model: dict[str, Any]
    files: Mapping[str, bytes]
    identity: Mapping[str, str]
    name: str
