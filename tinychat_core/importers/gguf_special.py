# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Decides which tokens of a GGUF file are control tokens, and which are never split.

The file stores a type for each token, which some exporters get wrong. So a token also counts as a control token if a
key makes it the beginning or end of a text, if its name is known, or if the chat template contains it and it looks like
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import logging
from typing import Any

from tokenizers import AddedToken

from tinychat_core.text.special_tokens import is_control_name, is_mark, is_shown, MARKUP

_log = logging.getLogger(__name__)

PREFIX = 'tokenizer.ggml.'
UNDEFINED, NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 0, 1, 2, 3, 4
_BYTE = 6
# Tokens named by keys: the variable in templates, the key, and SentencePiece's default id.
_NAMED = (('bos_token', 'bos', 1), ('eos_token', 'eos', 2), ('unk_token', 'unknown', 0), ('pad_token', 'padding', None),
          ('sep_token', 'seperator', None), ('mask_token', 'mask', None))
_NO_TOKEN = 0xffffffff
_ENDS = ('eos', 'eot', 'eom')


@dataclass(frozen=True)
class SpecialTokens:
    """`kinds`: the corrected type of each token. `named`: the tokens of the keys, by their names in templates."""

    tokens: Sequence[str]
    kinds: Sequence[int]
    named: Mapping[str, str]
    rstrip: frozenset[str]

    def added(self, *kinds: int) -> list[AddedToken]:
        """Return the tokens of these kinds as the tokenizers library represents them."""
        return [AddedToken(token, special=kind != USER_DEFINED, normalized=False, rstrip=token in self.rstrip)
                for token, kind in zip(self.tokens, self.kinds, strict=True) if kind in kinds and token]


def special_tokens(metadata: Mapping[str, Any], tokens: Sequence[str]) -> SpecialTokens:
    """Return the special tokens; one warning names those with a wrong type."""
    # llama.cpp treats an unknown type as undefined.
    given = [kind if UNDEFINED <= kind <= _BYTE else UNDEFINED
             for kind in metadata.get(f'{PREFIX}token_type') or [NORMAL] * len(tokens)]
    if len(given) != len(tokens):
        raise ValueError(f'{len(tokens)} tokens have {len(given)} types')
    is_sentencepiece = metadata.get(f'{PREFIX}model') == 'llama'
    named = {name: text for name, key, default in _NAMED
             if (text := _token(metadata, key, tokens, default if is_sentencepiece else None)) is not None}
    ends = {_token(metadata, key, tokens, None) for key in _ENDS}
    template = str(metadata.get('tokenizer.chat_template', ''))
    kinds = list(given)
    wrong = []
    for i, (token, kind) in enumerate(zip(tokens, given, strict=True)):
        if kind in (CONTROL, UNKNOWN, _BYTE):
            continue
        is_known = is_control_name(token) and not (kind == USER_DEFINED and token in MARKUP)
        is_used = kind != USER_DEFINED and is_mark(token) and (token in template or token in named.values())
        if token in ends or is_known or is_used:
            kinds[i] = USER_DEFINED if is_shown(token) else CONTROL
            wrong.append(token)
    if wrong:
        more = f' and {len(wrong) - 10} more' if len(wrong) > 10 else ''
        _log.warning('the GGUF file calls %s%s text; they are used as special tokens',
                     ', '.join(ascii(token)[1:-1] for token in wrong[:10]), more)
    return SpecialTokens(tokens, kinds, named, _absorbing(metadata, tokens, kinds))


def with_known_ids(metadata: Mapping[str, Any], label: str) -> dict[str, Any]:
    """
    Return the metadata without ids of special tokens outside the vocabulary, as llama.cpp does.

    Converters write 2^32 - 1 for none; any other such id is dropped with a warning.
    """
    tokens = metadata.get(f'{PREFIX}tokens')
    known = dict(metadata)
    for key in (*(key for _, key, _ in _NAMED), *_ENDS):
        index = known.get(f'{PREFIX}{key}_token_id')
        if type(index) is int and isinstance(tokens, list) and not 0 <= index < len(tokens):
            del known[f'{PREFIX}{key}_token_id']
            if index not in (-1, _NO_TOKEN):
                _log.warning('%s: %s%s_token_id = %d is not one of its %d tokens, and is '
                             'ignored', label, PREFIX, key, index,
                             len(tokens))
    return known


def _token(metadata: Mapping[str, Any], key: str, tokens: Sequence[str], default: int | None) -> str | None:
    index = metadata.get(f'{PREFIX}{key}_token_id')
    if index is None:
        return None if default is None or default >= len(tokens) else tokens[default]
    if type(index) is not int or not 0 <= index < len(tokens):
        raise ValueError(f'{PREFIX}{key}_token_id is {index!r}, which is not a token')
    return tokens[index]


def _absorbing(metadata: Mapping[str, Any], tokens: Sequence[str], kinds: Sequence[int]) -> frozenset[str]:
    """
    Return the tokens that absorb the white space after them, which the file does not store.

    In Phi-3 and Phi-3.5 (`rstrip` in their tokenizer.json) these are all special tokens except those that begin and end
    a text. They are the models of this architecture with a SentencePiece vocabulary; Phi-4's is byte-level.
    """
    name = str(metadata.get('general.name', '')).lower()
    is_phi_3 = metadata.get('general.architecture') == 'phi3' or 'phi-3' in name or 'phi3' in name
    if not is_phi_3 or metadata.get(f'{PREFIX}model') != 'llama':
        return frozenset()
    special = {token for token, kind in zip(tokens, kinds, strict=True) if kind in (CONTROL, UNKNOWN, USER_DEFINED)}
    return frozenset(special - {'<unk>', '<s>', '<|endoftext|>'})
