# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The quantization format of a Hugging Face directory, from its config.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
import logging
from pathlib import Path
from typing import Any

from tinychat_core.errors import TinyChatError, UnsupportedModelError
from tinychat_core.importers import auto_round, autoawq, compressed_tensors, gptq
from tinychat_core.importers.options import bare, Options
from tinychat_core.importers.quantized_source import QuantFormat

_log = logging.getLogger(__name__)

_METHODS: Mapping[str, Callable[[Options], QuantFormat]] = {
    'awq': autoawq.quant_format, 'gptq': gptq.quant_format, 'compressed-tensors': compressed_tensors.quant_format,
    'auto-round': auto_round.quant_format}
_OTHER_NAMES = {'intel/auto-round': 'auto-round', 'auto_round': 'auto-round'}

# Files that older tools wrote instead of an entry in config.json, and the method that each implies.
OLD_FILES = {'quantize_config.json': 'gptq', 'quant_config.json': 'awq'}


def quant_format_of(config: Any, label: str) -> QuantFormat:
    """
    Return the format of a quantization_config; UnsupportedModelError where it is not supported.

    Raises TinyChatError for an option of the wrong type.
    """
    options = Options(config if isinstance(config, dict) else {}, label, 'quantization_config')
    method = options.text('quant_method', 'None')
    method = _OTHER_NAMES.get(method, method)
    if method not in _METHODS:
        raise UnsupportedModelError(f'{label}: quant_method = {bare(method)} is not supported; {", ".join(_METHODS)} '
                                    'are (or use `tinychat quantize` on the unquantized model)')
    return _METHODS[method](options)


def beside(found: Any, older: Mapping[str, Any], label: str) -> Any:
    """
    Return the options of config.json, completed by those of the older tools' file, whose name is `label`.

    Where both define `checkpoint_format`, config.json takes precedence, as in transformers, with a warning: the tensors
    show bits and groups, but not how zero points were stored.
    """
    if found is None:
        return older
    if not isinstance(found, dict) or found.get('quant_method', older['quant_method']) != older['quant_method']:
        return found
    format_ = older.get('checkpoint_format')
    if format_ is None or format_ == found.get('checkpoint_format'):
        return found
    if found.get('checkpoint_format') is None and found.get('format') is None:
        _log.warning('%s says checkpoint_format = %s, but config.json does not say it; it is used', label,
                     bare(format_))
        return {**found, 'checkpoint_format': format_}
    _log.warning('%s says checkpoint_format = %s, but config.json says another one, which is '
                 'used', label, bare(format_))
    return found


def check_packed(directory: Path, names: Iterable[str]) -> None:
    """Raise TinyChatError where tensors are quantized but the configuration does not say how."""
    name = next((name for name in names if name.endswith(('.qweight', '.weight_packed'))), None)
    if name is not None:
        raise TinyChatError(f'{directory} has packed weights ({name}), but no quantization_config in its config.json; '
                            f'get config.json or {" or ".join(OLD_FILES)} again')
