# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Model families: one small declarative file each, found by being here."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from tinychat_core.checkpoint.model_config import LARGEST_HEAD
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families.config import Config
from tinychat_core.families.family import Family

# Vector registers hold 16 numbers, and nothing is padded while decoding.
_IN_SIXTEENS = ('hidden_size', 'intermediate_size', 'head_dim', 'embedding_size')


@cache
def families() -> tuple[Family, ...]:
    """Return every family of this package, by file name."""
    modules = (import_module(f'{__name__}.{module.name}') for module in iter_modules(__path__))
    return tuple(module.FAMILY for module in modules if hasattr(module, 'FAMILY'))


def family_of(config: Mapping[str, Any]) -> Family:
    """Return the family of a config.json; for an unknown one, UnsupportedModelError names the nearest."""
    kind = str(config.get('model_type'))
    known = {name: family for family in families() for name in family.model_types}
    if kind not in known:
        raise UnsupportedModelError(f"the model type '{kind}' is not supported{nearest(kind, known)}")
    return known[kind]


def describe(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the description of a model, all that the decoder needs, from its Hugging Face config.json.

    Raises UnsupportedModelError for an unknown family, an option that is not served or a size that is not.
    """
    reading = Config(config)
    description = family_of(config).describe(reading)
    reading.check()
    for name in _IN_SIXTEENS:
        if description.get(name, 0) % 16:
            raise UnsupportedModelError(f'{name} = {description[name]} is not supported: no multiple of 16')
    if description['head_dim'] > LARGEST_HEAD:
        raise UnsupportedModelError(f'head_dim = {description["head_dim"]} is not supported: above {LARGEST_HEAD}')
    if description['heads'] % description['kv_heads']:
        raise UnsupportedModelError(f'{description["heads"]} heads over {description["kv_heads"]} KV heads '
                                    'are not supported: no multiple')
    return description


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """Return the end of a sentence that names up to three supported ones, the most alike first."""
    return f'; the nearest supported ones are {", ".join(get_close_matches(name, known, n=3, cutoff=0.0))}'
