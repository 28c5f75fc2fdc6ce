# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""tokenizer.json from a GGUF file's vocabulary and merges."""

from __future__ import annotations

from collections.abc import Mapping
import json
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tinychat_core.errors import UnsupportedModelError

_CONTROL, _USER_DEFINED = 3, 4  # token types of GGUF

# How text is cut into words before the merges, by GGUF's name for it.
_PRE_TOKENIZERS = {
    'smollm': lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]),
    'gpt-2': lambda: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
}


def tokenizer_files(metadata: Mapping[str, Any]) -> dict[str, str | bytes]:
    """
    Return tokenizer.json and tokenizer_config.json (with the chat template) by name.

    Raises UnsupportedModelError for a tokenizer that is not byte-level BPE, or whose pre-tokenizer is unknown.
    """
    kind = metadata.get('tokenizer.ggml.model')
    if kind != 'gpt2':
        raise UnsupportedModelError(f"the tokenizer '{kind}' of a GGUF file is not supported, only 'gpt2' (byte-level BPE)")
    pre = metadata.get('tokenizer.ggml.pre', 'gpt-2')
    if pre not in _PRE_TOKENIZERS:
        raise UnsupportedModelError(f"the pre-tokenizer '{pre}' is not supported; supported are "
                                    f'{", ".join(_PRE_TOKENIZERS)}')
    tokens: list[str] = metadata['tokenizer.ggml.tokens']
    types: list[int] = metadata['tokenizer.ggml.token_type']
    merges = [tuple(merge.split(' ', 1)) for merge in metadata['tokenizer.ggml.merges']]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = _PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)
                                  for token, kind in zip(tokens, types) if kind == _CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False)
                          for token, kind in zip(tokens, types) if kind == _USER_DEFINED])

    def text(key: str) -> str | None:
        index = metadata.get(f'tokenizer.ggml.{key}_token_id')
        return None if index is None else tokens[index]

    config = {'tokenizer_class': 'PreTrainedTokenizerFast', 'bos_token': text('bos'), 'eos_token': text('eos'),
              'unk_token': text('unknown'), 'pad_token': text('padding'),
              'add_bos_token': bool(metadata.get('tokenizer.ggml.add_bos_token', False)),
              'chat_template': metadata.get('tokenizer.chat_template')}
    return {'tokenizer.json': tokenizer.to_str(),
            'tokenizer_config.json': json.dumps({k: v for k, v in config.items() if v is not None}, indent=1)}
