# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""decode(encode(text)) is the text, whatever it is, with added tokens of every script in it."""
from __future__ import annotations

from functools import cache
import json
from pathlib import Path
import tempfile
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest
from reference.tokenizer_directories import vocabularies

from tinychat_core.text.tokenizer import Tokenizer

# Some look like bytes in GPT-2's alphabet, some have spaces, some are normalized.
ADDED = ['<think>', '</think>', '<|Ünïcödé|>', 'Ġ', 'ĠÄ', 'é', 'ÀÉ', 'Ελλάδα', 'Привет', '日本語', '한국어', 'हिन्दी',
         'العربية', 'עברית', 'ไทย', '🤖', '\n\n', 'a b', '  ', '<b>', '½', 'x', '\u0301', '\ufffd', '\U000f0000']
PARTS = [*ADDED, ' ', '  ', '<|im_end|>', '</s>', '<s>', '<unk>', 'word ', 'Ā', '<0x41>', '\u2581']
TEXTS = st.lists(st.one_of(st.text(max_size=8), st.sampled_from(PARTS)), max_size=8).map(''.join)


def entry(id_: int, content: str, **flags: bool) -> dict[str, Any]:
    return {'id': id_, 'content': content, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False,
            'special': False, **flags}


@cache
def tokenizer(name: str, normalized: bool) -> Tokenizer:
    made = json.loads(json.dumps(ALL[name]))
    first = len(made['model']['vocab'])
    made['added_tokens'] += [entry(first + i, token, normalized=normalized) for i, token in enumerate(ADDED)
                             if token not in made['model']['vocab']]
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / 'tokenizer.json').write_text(json.dumps(made), encoding='utf-8')
        return Tokenizer.open(directory)


ALL = vocabularies()
for metaspace in ('first', 'always', 'never'):
    ALL[metaspace] = {**ALL['llama 2'], 'normalizer': None, 'pre_tokenizer': {
        'type': 'Metaspace', 'replacement': '▁', 'prepend_scheme': metaspace, 'split': False}}
    if metaspace == 'never':
        ALL[metaspace]['decoder'] = {'type': 'Sequence', 'decoders': ALL['llama 2']['decoder']['decoders'][:-1]}


@pytest.mark.parametrize('normalized', [False, True])
@pytest.mark.parametrize('name', ['llama 3', 'smollm', 'gpt 2', 'llama 2', 'gemma', 'never'])
@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_every_text_comes_back(name: str, normalized: bool, text: str) -> None:
    if ALL[name]['model']['byte_fallback']:
        text = text.replace('▁', '_')  # SentencePiece's sign for a space is one
    made = tokenizer(name, normalized)
    for framed in (True, False):
        assert made.decode(made.encode(text, add_bos=framed)) == text


@pytest.mark.parametrize('name', ['first', 'always'])
@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_where_a_space_before_a_text_is_not_told_from_its_own_the_rest_comes_back(name: str, text: str) -> None:
    text = text.replace('▁', '_').lstrip(' ')
    if any(token in text for token in ADDED):
        return  # what follows one gets the space too
    made = tokenizer(name, False)
    assert made.decode(made.encode(text)) == text


@pytest.mark.parametrize('name', ['llama 3', 'gpt 2', 'llama 2', 'gemma', 'never', 'first', 'always'])
@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_what_goes_on_comes_back_with_the_space_that_it_begins_with(name: str, text: str) -> None:
    text = text.replace('▁', '_')
    if any(token in text for token in ADDED):
        return
    made = tokenizer(name, False)
    assert b''.join(made.bytes_of(id_) for id_ in made.encode_within(text)) == text.encode()


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_composed_characters_stay_composed(text: str) -> None:
    from unicodedata import normalize
    made = tokenizer('qwen 2', False)
    pieces = made.decode(made.encode(text))
    assert normalize('NFC', pieces) == normalize('NFC', text)
