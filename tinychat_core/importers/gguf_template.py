# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Chooses the chat template of a GGUF file that may have several.

They are `tokenizer.chat_template`, and `tokenizer.chat_template.NAME`, which converters write for the list of named
templates in a tokenizer_config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
import logging
from typing import Any

_log = logging.getLogger(__name__)

_KEY = 'tokenizer.chat_template'
# Tried in this order without an unnamed one; llama.cpp also falls back to the one for tools (common/chat.cpp).
_INSTEAD = ('default', 'tool_use')


def with_one_template(metadata: Mapping[str, Any], choice: str | None, label: str) -> dict[str, Any]:
    """
    Return the metadata with the model's chat template, or `choice`, under the unnamed key.

    `label` starts the warning that is logged where the name of the template implies another purpose.
    """
    found = {key.removeprefix(f'{_KEY}.'): value for key, value in metadata.items() if key.startswith(f'{_KEY}.')}
    others = {key: value for key, value in metadata.items() if not key.startswith(_KEY)}
    template = metadata.get(_KEY) if choice is None else choice
    if template is None:
        name = next((name for name in _INSTEAD if name in found), None)
        template = None if name is None else found[name]
        if name not in (None, 'default'):
            _log.warning("%s has only a chat template named '%s', which is used; --chat-template sets another",
                         label, name)
    return others if template is None else {**others, _KEY: template}
