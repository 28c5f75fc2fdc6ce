# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Model families: one small declarative file each."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from tinychat_core.errors import UnsupportedModelError

# Hugging Face's model_type -> module
FAMILIES = {'llama': 'llama'}


def describe(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """
    Return the family's name and the model's description, all that the decoder needs, from a Hugging Face config.json.

    Raises UnsupportedModelError for an unknown family, naming the nearest ones, or an option that is not served.
    """
    kind = str(config.get('model_type'))
    if kind not in FAMILIES:
        near = get_close_matches(kind, FAMILIES, n=3, cutoff=0.0)
        raise UnsupportedModelError(f"the model type '{kind}' is not supported; the nearest supported ones are "
                                    f'{", ".join(near)}')
    family = FAMILIES[kind]
    description: dict[str, Any] = import_module(f'tinychat_core.families.{family}').describe(config)
    return family, description
