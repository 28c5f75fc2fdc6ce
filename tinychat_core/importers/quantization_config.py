# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Which packing the matrices of a Hugging Face directory have, as its config.json says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers import auto_round, autoawq, compressed_tensors, gptq
from tinychat_core.importers.options import bare, Options
from tinychat_core.importers.packed_source import Packing

_METHODS: Mapping[str, Callable[[Options], Packing]] = {
    'awq': autoawq.packing, 'gptq': gptq.packing, 'compressed-tensors': compressed_tensors.packing,
    'auto-round': auto_round.packing}
_OTHER_NAMES = {'intel/auto-round': 'auto-round', 'auto_round': 'auto-round'}

# The file that older tools wrote instead of an entry in config.json, and the method that it stands for.
OLD_FILES = {'quantize_config.json': 'gptq', 'quant_config.json': 'awq'}


def packing_of(config: Any, label: str) -> Packing:
    """
    Return the packing of a quantization_config; UnsupportedModelError where it is none of ours.

    Raises TinyChatError for an option of another type than it has to have.
    """
    options = Options(config if isinstance(config, dict) else {}, label, 'quantization_config')
    method = options.text('quant_method', 'None')
    method = _OTHER_NAMES.get(method, method)
    if method not in _METHODS:
        raise UnsupportedModelError(f'{label}: quant_method = {bare(method)} is not supported; '
                                    f'{", ".join(_METHODS)} are (or give the model as it was before, and use '
                                    '`tinychat quantize`)')
    return _METHODS[method](options)
