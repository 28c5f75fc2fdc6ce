# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Makes tokenizer.json from a GGUF file's vocabulary and its merges or scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import json
import logging
from typing import Any

from tokenizers import decoders, models, normalizers, processors, Tokenizer

from tinychat_core.errors import shown, TinyChatError, UnsupportedModelError
from tinychat_core.importers.gguf_special import CONTROL, PREFIX, special_tokens, SpecialTokens, UNKNOWN, USER_DEFINED
from tinychat_core.importers.gguf_words import Words, words_of

_log = logging.getLogger(__name__)

_SPACE = '▁'  # SentencePiece's
# Types of tokens that merges may produce: all except special tokens and bytes.
_JOINED = (0, 1, 5)
# SentencePiece limits tokens to 16 characters, except runs of spaces; real vocabularies have 2.3 splits per token.
_LONGEST, _MOST_WAYS = 256, 64
# Unsupported keys that could change an answer.
_LEFT_OUT = ('add_sep_token', 'suppress_tokens')


def tokenizer_files(metadata: Mapping[str, Any]) -> dict[str, str]:
    """
    Return tokenizer.json and tokenizer_config.json (with the chat template) by name.

    Raises UnsupportedModelError for a tokenizer that is neither byte-level BPE nor SentencePiece's BPE, or has
    an unknown pre-tokenizer; TinyChatError for an inconsistent one.
    """
    kind = metadata.get(f'{PREFIX}model')
    if kind not in ('gpt2', 'llama'):
        raise UnsupportedModelError(f"the tokenizer '{kind}' of a GGUF file is not supported, only 'gpt2' "
                                    "(byte-level BPE) and 'llama' (SentencePiece's BPE)")
    for name in ('tokens', 'merges' if kind == 'gpt2' else 'scores'):
        if not isinstance(metadata.get(PREFIX + name), list):
            raise UnsupportedModelError(f'the metadata lacks {PREFIX}{name}')
    for name in _LEFT_OUT:
        if metadata.get(PREFIX + name):
            _log.warning('the GGUF file has %s%s = %s, which is ignored', PREFIX, name, shown(metadata[PREFIX + name]))
    words = _words(metadata) if kind == 'gpt2' else None
    # llama.cpp gives empty tokens the same name.
    tokens = [f'[EMPTY_{i}]' if token == '' else token for i, token in enumerate(metadata[f'{PREFIX}tokens'])]
    try:
        vocabulary = _vocabulary(tokens)
        special = special_tokens(metadata, tokens)
        tokenizer = (_sentencepiece(metadata, vocabulary, special) if words is None else
                     _byte_level(metadata, vocabulary, words))
        tokenizer.add_special_tokens(special.added(CONTROL, UNKNOWN))
        tokenizer.add_tokens(special.added(USER_DEFINED))
        frame = _frame(metadata, special.named, words is None or words.bos)
        if frame != ['$A']:
            tokenizer.post_processor = processors.TemplateProcessing(
                single=frame, special_tokens=[(name, vocabulary[name]) for name in frame if name != '$A'])
    except TinyChatError:
        raise
    except Exception as error:  # the library raises nothing more specific
        raise TinyChatError(f'the tokenizer of the GGUF file is damaged: {error}') from None
    template = metadata.get('tokenizer.chat_template')
    config = {'tokenizer_class': 'PreTrainedTokenizerFast', 'tokenizer_json': 'complete', **special.named,
              'add_bos_token': frame[0] != '$A', **({} if template is None else {'chat_template': template})}
    return {'tokenizer.json': tokenizer.to_str(), 'tokenizer_config.json': json.dumps(config, indent=1)}


def _words(metadata: Mapping[str, Any]) -> Words:
    name = metadata.get(f'{PREFIX}pre')
    if not name:
        _log.warning("the GGUF file does not name its pre-tokenizer: 'default' is used, as in llama.cpp, and answers "
                     'may be worse; a newer GGUF file of the model names it')
    return words_of(str(name or 'default'))


def _vocabulary(tokens: Sequence[str]) -> dict[str, int]:
    vocabulary: dict[str, int] = {}
    for i, token in enumerate(tokens):
        if not isinstance(token, str) or not _is_unicode(token):
            raise ValueError(f'the token {i} is not valid UTF-8')
        if vocabulary.setdefault(token, i) != i:
            raise ValueError(f'the tokens {vocabulary[token]} and {i} are both {token!a}')
    return vocabulary


def _is_unicode(token: str) -> bool:
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return True


def _byte_level(metadata: Mapping[str, Any], vocabulary: dict[str, int], words: Words) -> Tokenizer:
    pairs = []
    for merge in metadata[f'{PREFIX}merges']:
        first, space, second = str(merge).partition(' ')
        if not space:
            raise ValueError(f'the merge {merge!a} is not a pair of tokens')
        pairs.append((first, second))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=words.whole))
    words.apply(tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(metadata: Mapping[str, Any], vocabulary: dict[str, int], special: SpecialTokens) -> Tokenizer:
    """
    Return the tokenizer of a vocabulary with scores (Kudo and Richardson, 2018).

    It first joins the neighbours that form the token with the highest score. So the merges are all splits of a token
    into two, ordered by the token's score.
    """
    tokens, scores = special.tokens, metadata[f'{PREFIX}scores']
    ranked = sorted(((score, token) for token, score, kind in zip(tokens, scores, special.kinds, strict=True)
                     if kind in _JOINED), key=lambda item: -item[0])
    merges = list(_ways(ranked, vocabulary))
    joined = {first + second for first, second in merges}
    if len({score for score, token in ranked if token in joined}) < len(joined):
        _log.warning('the GGUF file gives several tokens the same score: their order is uncertain')
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=special.named.get('unk_token'),
                                     fuse_unk=True, byte_fallback=True))
    prefix = metadata.get(f'{PREFIX}add_space_prefix', True)
    steps: list[normalizers.Normalizer] = [normalizers.Prepend(_SPACE)] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(' ', _SPACE)])
    undo: list[decoders.Decoder] = [decoders.Replace(_SPACE, ' '), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*undo, decoders.Strip(' ', 1, 0)] if prefix else undo)
    return tokenizer


def _ways(ranked: Sequence[tuple[float, str]], vocabulary: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield all splits of a token into two; a damaged vocabulary with too many would fill the memory."""
    names = {token: token for token in vocabulary}  # so that parts share memory with tokens
    left = _MOST_WAYS * len(vocabulary)
    for _, token in ranked:
        if len(token) > _LONGEST:
            raise ValueError(f'a token has {len(token)} characters')
        for at in range(1, len(token)):
            first = names.get(token[:at])
            second = None if first is None else names.get(token[at:])
            if first is not None and second is not None:
                left -= 1
                if left < 0:
                    raise ValueError(f'its {len(vocabulary)} tokens can be merged in too many ways')
                yield first, second


def _frame(metadata: Mapping[str, Any], named: Mapping[str, str], bos: bool) -> list[str]:
    """Return the tokens around a text, which is `$A`."""
    def token(name: str, default: bool) -> list[str]:
        text, wanted = named.get(f'{name}_token'), metadata.get(f'{PREFIX}add_{name}_token', default)
        if wanted and text is None:
            _log.warning('the GGUF file asks for a %s token but does not define one: it is left out', name)
        return [text] if text is not None and wanted else []

    return [*token('bos', bos), '$A', *token('eos', False)]
