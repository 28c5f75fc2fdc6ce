# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Which packing the matrices of a Hugging Face directory have, as its config.json says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tinychat_core.errors import TinyChatError, UnsupportedModelError
from tinychat_core.importers import autoawq, compressed_tensors, gptq
from tinychat_core.importers.packed_source import Packing

_METHODS: Mapping[str, Callable[[Mapping[str, Any], str], Packing]] = {
    'awq': autoawq.packing, 'gptq': gptq.packing, 'compressed-tensors': compressed_tensors.packing}

# The file that older tools wrote instead of an entry in config.json, and the method that it stands for.
OLD_FILES = {'quantize_config.json': 'gptq', 'quant_config.json': 'awq'}


def packing_of(config: Mapping[str, Any], label: str) -> Packing:
    """Return the packing of a quantization_config; UnsupportedModelError where it is none of ours."""
    method = str(config.get('quant_method')) if isinstance(config, dict) else 'None'
    if method not in _METHODS:
        raise UnsupportedModelError(f'{label}: quant_method = {method} is not supported; {", ".join(_METHODS)} are '
                                    '(or give the model as it was before, and use `tinychat quantize`)')
    try:
        return _METHODS[method](config, label)
    except (AttributeError, TypeError, ValueError) as error:
        raise TinyChatError(f'{label}: its quantization_config is damaged ({error})') from None
