# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The types of a GGUF file's general and tokenizer keys (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

A value of another type is refused, as in llama.cpp: in Python the string "false" would count as true. The keys of an
architecture are read through families.hf_config, which is equally strict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import re
from typing import Any

from tinychat_core.errors import shown, TinyChatError


def _is_flag(value: Any) -> bool:
    return type(value) is bool or (type(value) is int and value in (0, 1))  # some writers have no booleans


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _list_of(is_item: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and all(map(is_item, value))


# The first matching pattern determines the type of a key.
_TYPES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (r'tokenizer\.ggml\.(add_\w+|remove_extra_whitespaces|escape_whitespaces)', _is_flag, 'true or false'),
    (r'tokenizer\.ggml\.normalizer\.\w+', _is_flag, 'true or false'),
    (r'tokenizer\.ggml\.\w+_token_id', _is_whole, 'a whole number'),
    (r'tokenizer\.ggml\.(model|pre)', _is_text, 'a text'),
    (r'tokenizer\.ggml\.(tokens|merges)', _list_of(_is_text), 'a list of texts'),
    (r'tokenizer\.ggml\.(token_type|suppress_tokens)', _list_of(_is_whole), 'a list of whole numbers'),
    (r'tokenizer\.ggml\.scores', _list_of(_is_number), 'a list of numbers'),
    (r'tokenizer\.chat_template(\..+)?', _is_text, 'a text'),
    (r'general\.(architecture|type|name)', _is_text, 'a text'),
)


def typed(metadata: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Return the metadata with flags as bool; TinyChatError, beginning with `label`, for a value of another type."""
    found = dict(metadata)
    for key, value in metadata.items():
        for pattern, is_right, name in _TYPES:
            if re.fullmatch(pattern, key):
                if not is_right(value):
                    raise TinyChatError(f'{label} is damaged: {key} = {shown(value)} is not {name}')
                if is_right is _is_flag:
                    found[key] = bool(value)
                break
    return found
