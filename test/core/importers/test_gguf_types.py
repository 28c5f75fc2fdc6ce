# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A GGUF file's keys are read as the type that they have to have; docs/accepted-files.md has the refused ones."""
from __future__ import annotations

import json
from typing import Any

import pytest
import tiny_llama

from tinychat_core.importers.gguf_template import with_one_template
from tinychat_core.importers.gguf_tokenizer import tokenizer_files
from tinychat_core.importers.gguf_types import typed


@pytest.mark.parametrize(('stored', 'frame'), [(0, False), (1, True), (False, False), (True, True)])
def test_a_number_for_true_or_false_is_read_as_one(stored: Any, frame: bool) -> None:
    metadata = typed({**tiny_llama.metadata(), 'tokenizer.ggml.add_bos_token': stored}, 'a file')
    assert metadata['tokenizer.ggml.add_bos_token'] is frame
    assert json.loads(tokenizer_files(metadata)['tokenizer_config.json'])['add_bos_token'] is frame


@pytest.mark.parametrize(('found', 'chosen', 'template'), [
    ({'': 'plain', '.default': 'x', '.tool_use': 'y'}, None, 'plain'),
    ({'.default': 'default', '.tool_use': 'y'}, None, 'default'),
    ({'.tool_use': 'tools', '.rag': 'y'}, None, 'tools'),
    ({'.rag': 'y'}, None, None),
    ({}, None, None),
    ({'': 'plain', '.default': 'x'}, 'mine', 'mine'),
])
def test_the_template_of_several(found: dict[str, str], chosen: str | None, template: str | None) -> None:
    metadata = {f'tokenizer.chat_template{name}': text for name, text in found.items()}
    expected = {} if template is None else {'tokenizer.chat_template': template}
    assert with_one_template({**metadata, 'a': 1}, chosen, 'a file') == {'a': 1, **expected}
