# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What transformers makes of a tokenizer.json for the class that a directory names.

Since its fifth version some classes take the vocabulary and the merges from the file, and bring steps of their own.
"""
from __future__ import annotations

from collections.abc import Mapping
import logging
from typing import Any

_log = logging.getLogger(__name__)

Json = dict[str, Any]

# The class of a family, for directories that name none; and families whose directories name a wrong one.
_OF_FAMILY = {'qwen2': 'Qwen2Tokenizer', 'qwen3': 'Qwen2Tokenizer', 'gemma2': 'GemmaTokenizer',
              'gemma3': 'GemmaTokenizer', 'gemma3_text': 'GemmaTokenizer', 'opt': 'GPT2Tokenizer',
              'mpt': 'GPTNeoXTokenizer'}
_AS_IT_IS = ('phi3', 'mistral')
_WRONG = ('qwen2',)
_SENTENCEPIECE = ('LlamaTokenizer', 'GemmaTokenizer')
# Classes that take a tokenizer.json as it is.
_PLAIN = ('PreTrainedTokenizer', 'TokenizersBackend', 'PythonBackend')
# Special tokens that a class has where the files name none.
_DEFAULTS: dict[str, dict[str, str]] = {
    'LlamaTokenizer': {'unk_token': '<unk>', 'bos_token': '<s>', 'eos_token': '</s>'},
    'GemmaTokenizer': {'unk_token': '<unk>', 'bos_token': '<bos>', 'eos_token': '<eos>', 'pad_token': '<pad>',
                       'mask_token': '<mask>'},
    'Qwen2Tokenizer': {'unk_token': '<|endoftext|>', 'eos_token': '<|endoftext|>', 'pad_token': '<|endoftext|>'},
    'GPT2Tokenizer': {'unk_token': '<|endoftext|>', 'bos_token': '<|endoftext|>', 'eos_token': '<|endoftext|>'},
    'GPTNeoXTokenizer': {'unk_token': '<|endoftext|>', 'bos_token': '<|endoftext|>', 'eos_token': '<|endoftext|>',
                         'pad_token': '<|padding|>'},
}
_QWEN_2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
           r'\s+(?!\S)|\s+')
_SPACE = {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '▁'}
_FROM_SPACE = [{'type': 'Replace', 'pattern': {'String': '▁'}, 'content': ' '}, {'type': 'ByteFallback'},
               {'type': 'Fuse'}]


def class_of(tokenizer_config: Mapping[str, Any], model: Mapping[str, Any], is_byte_level: bool) -> str:
    """Return the class with steps of its own that transformers takes for a directory, or '' for none."""
    declared = tokenizer_config.get('tokenizer_class') or model.get('tokenizer_class')
    declared = declared.removesuffix('Fast') if isinstance(declared, str) else None
    family = model.get('model_type')
    registered = _OF_FAMILY.get(family) if isinstance(family, str) else None
    # An option of ours, for files whose steps must not be changed.
    if tokenizer_config.get('tokenizer_json') == 'complete' or (family in _AS_IT_IS and declared is not None):
        return ''
    name = registered if declared is None or family in _WRONG else declared
    if name in _DEFAULTS:
        # transformers looks only at LlamaTokenizer; of other classes it would make a tokenizer that knows nothing.
        return name if (name not in _SENTENCEPIECE) == is_byte_level else ''
    if name is not None and name not in _PLAIN:
        _log.warning('tokenizer_config.json names the unknown class %a: tokenizer.json is used as it is', name)
    return ''


def default_tokens(name: str) -> Mapping[str, str]:
    """Return the special tokens of a class where the files name none."""
    return _DEFAULTS.get(name, {})


def rebuilt(name: str, tokenizer: Json, tokenizer_config: Mapping[str, Any]) -> Json:
    """Return a tokenizer.json with the steps of a class, without added tokens; a warning where the steps differ."""
    model = tokenizer['model']
    flags, steps = _steps(name, tokenizer_config)
    made = {**tokenizer, 'added_tokens': [], **steps, 'model': {
        'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': None,
        'end_of_word_suffix': None, 'fuse_unk': False, 'byte_fallback': False, 'ignore_merges': False, **flags,
        'vocab': model['vocab'], 'merges': model['merges']}}
    if name == 'GPTNeoXTokenizer':
        made['post_processor'] = None
    if _cuts(made) != _cuts(tokenizer) and not (name == 'LlamaTokenizer' and _is_old_llama(tokenizer)):
        _log.warning('tokenizer_config.json names the class %s, which splits text differently from tokenizer.json: '
                     'the class is used, as in transformers ("tokenizer_json": "complete" uses the file)', name)
    return made


def _steps(name: str, config: Mapping[str, Any]) -> tuple[Json, Json]:
    """Return what a class says of the model, and its other steps."""
    prefix = config.get('add_prefix_space')
    byte_level = {'type': 'ByteLevel', 'add_prefix_space': bool(prefix), 'trim_offsets': True, 'use_regex': True}
    if name == 'LlamaTokenizer':
        prefix = prefix is None or bool(prefix)
        scheme = ('always' if config.get('legacy', False) else 'first') if prefix else 'never'
        strip = [{'type': 'Strip', 'content': ' ', 'start': 1, 'stop': 0}] if prefix else []
        return {'fuse_unk': True, 'byte_fallback': True}, {
            'normalizer': None,
            'pre_tokenizer': {'type': 'Metaspace', 'replacement': '▁', 'prepend_scheme': scheme, 'split': False},
            'decoder': {'type': 'Sequence', 'decoders': [*_FROM_SPACE, *strip]}}
    if name == 'GemmaTokenizer':
        split = {'type': 'Split', 'pattern': {'String': ' '}, 'behavior': 'MergedWithPrevious', 'invert': False}
        return {'fuse_unk': True, 'byte_fallback': True, 'unk_token': _text(config.get('unk_token')) or '<unk>'}, {
            'normalizer': _SPACE, 'pre_tokenizer': split, 'decoder': {'type': 'Sequence', 'decoders': _FROM_SPACE}}
    if name == 'Qwen2Tokenizer':
        split = {'type': 'Split', 'pattern': {'Regex': _QWEN_2}, 'behavior': 'Isolated', 'invert': False}
        words: Json = {'type': 'Sequence', 'pretokenizers': [split, {**byte_level, 'use_regex': False}]}
    else:
        words = byte_level
    return {'continuing_subword_prefix': '', 'end_of_word_suffix': ''}, {
        'normalizer': None if name == 'GPT2Tokenizer' else {'type': 'NFC'}, 'pre_tokenizer': words,
        'decoder': {'type': 'ByteLevel', 'add_prefix_space': True, 'trim_offsets': True, 'use_regex': True}}


def _text(token: Any) -> str | None:
    text = token.get('content') if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _cuts(tokenizer: Json) -> list[Any]:
    """Return the steps that decide the ids of a text without special tokens, in one form."""
    return [_plain(tokenizer.get('normalizer')), _plain(tokenizer.get('pre_tokenizer')),
            bool(tokenizer['model'].get('ignore_merges')), bool(tokenizer['model'].get('byte_fallback'))]


def _plain(step: Any) -> Any:
    if not isinstance(step, dict):
        return step
    inner = step.get('normalizers', step.get('pretokenizers'))
    if inner is not None:
        steps = [_plain(one) for one in inner]
        return steps[0] if len(steps) == 1 else steps
    return {key: value for key, value in step.items() if key != 'trim_offsets'}


def _is_old_llama(tokenizer: Json) -> bool:
    """Whether a file says what LlamaTokenizer does in its older way, which differs only behind special tokens."""
    return _plain(tokenizer.get('normalizer')) == [{'type': 'Prepend', 'prepend': '▁'}, _SPACE] and not tokenizer.get(
        'pre_tokenizer')
