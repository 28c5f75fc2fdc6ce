# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""tokenizer.json from a GGUF file's vocabulary and merges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import json
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers, Tokenizer

from tinychat_core.errors import TinyChatError, UnsupportedModelError

_PREFIX = 'tokenizer.ggml.'
_CONTROL, _USER_DEFINED = 3, 4  # types of tokens


def _bytes() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


# How text is cut into words before the merges, by GGUF's name for it.
_PRE_TOKENIZERS: dict[str, Callable[[], pre_tokenizers.PreTokenizer]] = {
    'smollm': lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _bytes()]),
    'gpt-2': _bytes,
}


def tokenizer_files(metadata: Mapping[str, Any]) -> dict[str, str]:
    """
    Return tokenizer.json and tokenizer_config.json (with the chat template) by name.

    Raises UnsupportedModelError for a tokenizer that is not byte-level BPE or has an unknown
    pre-tokenizer, TinyChatError for one whose parts do not fit together.
    """
    kind = metadata.get(f'{_PREFIX}model')
    if kind != 'gpt2':
        raise UnsupportedModelError(f"the tokenizer '{kind}' of a GGUF file is not supported, only 'gpt2' "
                                    '(byte-level BPE)')
    pre = metadata.get(f'{_PREFIX}pre', 'gpt-2')
    if pre not in _PRE_TOKENIZERS:
        raise UnsupportedModelError(f"the pre-tokenizer '{pre}' is not supported, only "
                                    f'{", ".join(_PRE_TOKENIZERS)}')
    for name in ('tokens', 'token_type', 'merges'):
        if not isinstance(metadata.get(_PREFIX + name), list):
            raise UnsupportedModelError(f'the metadata lacks {_PREFIX}{name}')
    tokens: list[str] = metadata[f'{_PREFIX}tokens']
    try:
        tokenizer = _tokenizer(tokens, metadata[f'{_PREFIX}token_type'], metadata[f'{_PREFIX}merges'])
        tokenizer.pre_tokenizer = _PRE_TOKENIZERS[pre]()
        special = {name: _text(metadata, key, tokens) for name, key in (
            ('bos_token', 'bos'), ('eos_token', 'eos'), ('unk_token', 'unknown'), ('pad_token', 'padding'))}
    except Exception as error:  # the library knows no narrower one
        raise TinyChatError(f'the tokenizer of the GGUF file is damaged: {error}') from None
    config = {'tokenizer_class': 'PreTrainedTokenizerFast', **special,
              'add_bos_token': bool(metadata.get(f'{_PREFIX}add_bos_token', False)),
              'chat_template': metadata.get('tokenizer.chat_template')}
    return {'tokenizer.json': tokenizer.to_str(),
            'tokenizer_config.json': json.dumps({k: v for k, v in config.items() if v is not None}, indent=1)}


def _tokenizer(tokens: list[str], types: list[int], merges: list[str]) -> Tokenizer:
    pairs = [(first, second) for first, second in (merge.split(' ', 1) for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=pairs))
    tokenizer.decoder = decoders.ByteLevel()
    kinds = list(zip(tokens, types, strict=True))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)
                                  for token, kind in kinds if kind == _CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False)
                          for token, kind in kinds if kind == _USER_DEFINED])
    return tokenizer


def _text(metadata: Mapping[str, Any], key: str, tokens: list[str]) -> str | None:
    index = metadata.get(f'{_PREFIX}{key}_token_id')
    return None if index is None else tokens[index]
