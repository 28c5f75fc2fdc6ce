# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizer.open against transformers' AutoTokenizer: the same directory gives the same ids and special tokens."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from reference.mixed_text import LANGUAGES, mixed, PLAIN
from reference.tokenizer_directories import directories
from tinychat_core.text.tokenizer import Tokenizer

FEW, ALL = directories(False), directories(True)
DIALOGUE = [{'role': 'user', 'content': 'Where is  the hall?\n'}, {'role': 'assistant', 'content': 'Left, then 12 m.'},
            {'role': 'user', 'content': ' Und jetzt?'}]
MARKS = ['<|new|>', '<b>', '<|strip|>', 'ελλ', 'Ελλάδα', '<|far|>', '<sep>', '<image>', '<|audio|>', '<|cls|>',
         '<|new pad|>', '<|end of it|>', '<think>']


def texts(special: list[str]) -> list[str]:
    plain = mixed(LANGUAGES, PLAIN, characters=3000, seed=5)
    marks = [*special, *MARKS]
    return [plain, '', ' ', ' a', 'a  b\n', *marks, *(f'a {mark}  b{mark}\n{mark}' for mark in marks),
            ' '.join(marks), ''.join(marks)]


@pytest.mark.parametrize('name', [pytest.param(name, marks=[] if name in FEW else [pytest.mark.large]) for name in ALL])
def test_a_directory_gives_what_transformers_gives(tmp_path: Path, name: str) -> None:
    ALL[name](tmp_path)
    theirs: Any = AutoTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.open(tmp_path)
    for text in texts(theirs.all_special_tokens):
        for frame in (True, False):
            assert ours.encode(text, parse_special=True, add_bos=frame) == theirs.encode(
                text, add_special_tokens=frame), text
    assert ours.vocab_size == len(theirs)
    assert set(theirs.all_special_ids) <= ours.control_ids
    assert ours.encode_chat(DIALOGUE) == theirs.apply_chat_template(
        DIALOGUE, add_generation_prompt=True, return_dict=False)
