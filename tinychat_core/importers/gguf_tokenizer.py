# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""tokenizer.json from a GGUF file's vocabulary and its merges or scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
from typing import Any

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, Regex, Tokenizer

from tinychat_core.errors import TinyChatError, UnsupportedModelError

_PREFIX = 'tokenizer.ggml.'
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # types of tokens
_SPACE = '▁'  # SentencePiece's


@dataclass(frozen=True)
class _Words:
    """
    How text is cut into words before byte-level merges.

    `pattern`: regular expression of a word; '' is GPT-2's. `digits`: each a word of its own. `whole`: a word
    that is a token stays one, whatever the merges say. `bos`: the token that begins a text, where the file
    does not say whether it does.
    """

    pattern: str = ''
    digits: bool = False
    whole: bool = False
    bos: bool = False
    composed: bool = False  # in Unicode's form C first

    def apply(self, tokenizer: Tokenizer) -> None:
        """Put the steps into a tokenizer."""
        steps: list[pre_tokenizers.PreTokenizer] = []
        if self.digits:
            steps.append(pre_tokenizers.Digits(individual_digits=True))
        if self.pattern:
            steps.append(pre_tokenizers.Split(Regex(self.pattern), 'isolated'))
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not self.pattern))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        if self.composed:
            tokenizer.normalizer = normalizers.NFC()


_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r'[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]', r'[\p{Ll}\p{Lm}\p{Lo}\p{M}]'
_NO_LETTER = r'[^\r\n\p{L}\p{N}]?'  # before a word: a space, most often
_SPACES = r'\s*[\r\n]+|\s+(?!\S)|\s+'


def _words(digits: str) -> str:
    """Return the pattern that LLaMA 3 and Qwen 2 share: contractions, words, numbers, signs, spaces."""
    return rf'{_CONTRACTIONS}|{_NO_LETTER}\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}'


def _cased_words(end: str, digits: str) -> str:
    """Return the pattern that GPT-4o and Mistral's Tekken share: a word also ends where capitals begin."""
    return (rf'{_NO_LETTER}{_UPPER}*{_LOWER}+{end}|{_NO_LETTER}{_UPPER}+{_LOWER}*{end}|{digits}|'
            rf' ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}')


_LLAMA_3 = _Words(_words(r'\p{N}{1,3}'), whole=True, bos=True)
_QWEN_2 = _Words(_words(r'\p{N}'), composed=True)
# By GGUF's names.
_PRE_TOKENIZERS = {
    'smollm': _Words(digits=True), 'gpt-2': _Words(), 'llama-bpe': _LLAMA_3, 'llama-v3': _LLAMA_3, 'llama3': _LLAMA_3,
    'qwen2': _QWEN_2, 'deepseek-r1-qwen': _QWEN_2,
    'gpt-4o': _Words(_cased_words(f'{_CONTRACTIONS}?', r'\p{N}{1,3}')),
    'tekken': _Words(_cased_words('', r'\p{N}'), whole=True, bos=True)}


def tokenizer_files(metadata: Mapping[str, Any]) -> dict[str, str]:
    """
    Return tokenizer.json and tokenizer_config.json (with the chat template) by name.

    Raises UnsupportedModelError for a tokenizer that is neither byte-level BPE nor SentencePiece's BPE, or has
    an unknown pre-tokenizer; TinyChatError for one whose parts do not fit together.
    """
    kind = metadata.get(f'{_PREFIX}model')
    if kind not in ('gpt2', 'llama'):
        raise UnsupportedModelError(f"the tokenizer '{kind}' of a GGUF file is not supported, only 'gpt2' "
                                    "(byte-level BPE) and 'llama' (SentencePiece's BPE)")
    for name in ('tokens', 'token_type', 'merges' if kind == 'gpt2' else 'scores'):
        if not isinstance(metadata.get(_PREFIX + name), list):
            raise UnsupportedModelError(f'the metadata lacks {_PREFIX}{name}')
    pre = str(metadata.get(f'{_PREFIX}pre'))
    if kind == 'gpt2' and pre not in _PRE_TOKENIZERS:
        raise UnsupportedModelError(f"the pre-tokenizer '{pre}' is not supported, only {', '.join(_PRE_TOKENIZERS)}")
    tokens: list[str] = metadata[f'{_PREFIX}tokens']
    try:
        if kind == 'gpt2':
            tokenizer, bos = _byte_level(metadata, tokens, _PRE_TOKENIZERS[pre]), _PRE_TOKENIZERS[pre].bos
        else:
            tokenizer, bos = _sentencepiece(metadata, tokens), True
        _add_tokens(tokenizer, tokens, metadata[f'{_PREFIX}token_type'])
        special = {name: _text(metadata, key, tokens) for name, key in (
            ('bos_token', 'bos'), ('eos_token', 'eos'), ('unk_token', 'unknown'), ('pad_token', 'padding'))}
        frame = _frame(metadata, special, bos)
        if frame != ['$A']:
            tokenizer.post_processor = processors.TemplateProcessing(
                single=frame, special_tokens=[(name, tokenizer.token_to_id(name)) for name in frame if name != '$A'])
    except Exception as error:  # the library knows no narrower one
        raise TinyChatError(f'the tokenizer of the GGUF file is damaged: {error}') from None
    config = {'tokenizer_class': 'PreTrainedTokenizerFast', **special,
              'add_bos_token': frame[0] != '$A', 'chat_template': metadata.get('tokenizer.chat_template')}
    return {'tokenizer.json': tokenizer.to_str(),
            'tokenizer_config.json': json.dumps({k: v for k, v in config.items() if v is not None}, indent=1)}


def _byte_level(metadata: Mapping[str, Any], tokens: list[str], words: _Words) -> Tokenizer:
    pairs = [(first, second) for first, second in (merge.split(' ', 1) for merge in metadata[f'{_PREFIX}merges'])]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=pairs,
                                     ignore_merges=words.whole))
    words.apply(tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(metadata: Mapping[str, Any], tokens: list[str]) -> Tokenizer:
    """
    Return the tokenizer of a vocabulary with scores (Kudo and Richardson, 2018).

    Of all neighbours those are joined first that make the token with the highest score; so the merges are all
    ways to part a token in two, by the token's score.
    """
    vocabulary = {token: i for i, token in enumerate(tokens)}
    kinds = metadata[f'{_PREFIX}token_type']
    ranked = sorted(((score, token) for token, score, kind in zip(
        tokens, metadata[f'{_PREFIX}scores'], kinds, strict=True) if kind == _NORMAL), key=lambda item: -item[0])
    merges = [(token[:at], token[at:]) for _, token in ranked for at in range(1, len(token))
              if token[:at] in vocabulary and token[at:] in vocabulary]
    unknown = _text(metadata, 'unknown', tokens)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True,
                                     byte_fallback=True))
    prefix = metadata.get(f'{_PREFIX}add_space_prefix', True)
    steps: list[normalizers.Normalizer] = [normalizers.Prepend(_SPACE)] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(' ', _SPACE)])
    undo: list[decoders.Decoder] = [decoders.Replace(_SPACE, ' '), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*undo, decoders.Strip(' ', 1, 0)] if prefix else undo)
    return tokenizer


def _add_tokens(tokenizer: Tokenizer, tokens: list[str], types: list[int]) -> None:
    """Add what is never cut: control tokens, and those that the model's makers defined."""
    kinds = list(zip(tokens, types, strict=True))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)
                                  for token, kind in kinds if kind == _CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token, kind in kinds if kind == _USER_DEFINED])


def _frame(metadata: Mapping[str, Any], special: Mapping[str, str | None], bos: bool) -> list[str]:
    """Return what a text gets around it: `$A` is the text."""
    def token(name: str, default: bool) -> list[str]:
        text = special[f'{name}_token']
        return [text] if text is not None and metadata.get(f'{_PREFIX}add_{name}_token', default) else []

    return [*token('bos', bos), '$A', *token('eos', False)]


def _text(metadata: Mapping[str, Any], key: str, tokens: list[str]) -> str | None:
    index = metadata.get(f'{_PREFIX}{key}_token_id')
    return None if index is None else tokens[index]
