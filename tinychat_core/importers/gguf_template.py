# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Which of a GGUF file's chat templates is the model's.

A file may have several: `tokenizer.chat_template`, and others under `tokenizer.chat_template.NAME`, which converters
write for the list of named templates in a tokenizer_config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
import logging
from typing import Any

_log = logging.getLogger(__name__)

_KEY = 'tokenizer.chat_template'
# In this order where there is no plain one; llama.cpp falls back to that for tools, too (common/chat.cpp).
_INSTEAD = ('default', 'tool_use')


def with_one_template(metadata: Mapping[str, Any], choice: str | None, label: str) -> dict[str, Any]:
    """
    Return the metadata with the model's chat template, or `choice` instead, under the plain key.

    `label` begins a warning, where the template is one that has another purpose by its name.
    """
    found = {key.removeprefix(f'{_KEY}.'): value for key, value in metadata.items() if key.startswith(f'{_KEY}.')}
    others = {key: value for key, value in metadata.items() if not key.startswith(_KEY)}
    template = metadata.get(_KEY) if choice is None else choice
    if template is None:
        name = next((name for name in _INSTEAD if name in found), None)
        template = None if name is None else found[name]
        if name not in (None, 'default'):
            _log.warning("%s has no chat template but the one named '%s', which is taken: --chat-template sets another",
                         label, name)
    return others if template is None else {**others, _KEY: template}
