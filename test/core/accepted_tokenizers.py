# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: tokenizers and chat templates."""
from __future__ import annotations

from collections.abc import Callable, Sequence
import json
from pathlib import Path
from typing import Any

import small_huggingface as small
import tiny_llama
import torch

Case = Callable[[Path], Sequence[str]]


def directory(change: Callable[[Path], object]) -> Case:
    """Return a directory after a change of its small files."""
    def case(tmp_path: Path) -> Sequence[str]:
        made = small.save(tmp_path / 'theirs', small.tensors(torch.float16))
        change(made)
        return [str(made)]

    return case


def gguf(**changes: Any) -> Case:
    """Return a GGUF file with other keys of its tokenizer."""
    def case(tmp_path: Path) -> Sequence[str]:
        named = {f'tokenizer__ggml__{key}': value for key, value in changes.items()}
        return [str(tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.tensors(), **named))]

    return case


def edited(name: str, **changes: Any) -> Case:
    """Return a directory after a change of a JSON file."""
    def change(made: Path) -> None:
        content = json.loads((made / name).read_text())
        (made / name).write_text(json.dumps({**content, **changes}))

    return directory(change)


def versions(*names: str) -> Case:
    """Return a directory with a tokenizer's file for some versions of transformers."""
    files = [name if name.endswith('.json') else f'tokenizer.{name}.json' for name in names]

    def change(made: Path) -> None:
        for file in files:
            (made / file).write_text((made / 'tokenizer.json').read_text())
        options = json.loads((made / 'tokenizer_config.json').read_text())
        (made / 'tokenizer_config.json').write_text(json.dumps({**options, 'fast_tokenizer_files': files}))

    return directory(change)


def without_unknown(made: Path) -> None:
    tokenizer = json.loads((made / 'tokenizer.json').read_text())
    tokenizer['model'].update(type='BPE', unk_token='<unk>')
    (made / 'tokenizer.json').write_text(json.dumps(tokenizer))
    options = json.loads((made / 'tokenizer_config.json').read_text())
    options['added_tokens_decoder'] = {'257': {'content': '<unk>', 'special': True}}
    (made / 'tokenizer_config.json').write_text(json.dumps(options))


def template(source: str) -> Case:
    """Return a directory with a chat template."""
    return directory(lambda made: (made / 'chat_template.jinja').write_text(source))


def bytes_in_a_token(tmp_path: Path) -> Sequence[str]:
    """Return a GGUF file with a token that is no text."""
    arguments = gguf()(tmp_path)
    content = Path(arguments[0]).read_bytes()
    Path(arguments[0]).write_bytes(content.replace(b'<|im_start|>', b'\xff\xfeim_start|>'))
    return arguments


MESSAGES = '{% for m in messages %}{{ m.content }}{% endfor %}'
TOKENS: list[str] = tiny_llama.metadata()['tokenizer.ggml.tokens']
SCORES = {'model': 'llama', 'tokens': ['<unk>', '<s>', '</s>', *'abcde', *(f'<{i}>' for i in range(249)), 'ab', 'bc'],
          'token_type': [2, 3, 3] + [1] * 256, 'bos_token_id': 1, 'eos_token_id': 2}

CASES: dict[str, list[Case]] = {
    'GGUF: special tokens with the type of ordinary text': [gguf(token_type=[1] * 259), gguf(token_type=None)],
    'GGUF: no pre-tokenizer name': [gguf(pre=None), gguf(pre='')],
    'GGUF: a token at the beginning or end of a text is requested but not defined': [
        gguf(add_bos_token=True, bos_token_id=None)],
    'GGUF: `add_sep_token`, `suppress_tokens`': [gguf(add_sep_token=True), gguf(suppress_tokens=[5, 6])],
    'GGUF: tokens with the same score': [gguf(**SCORES, scores=[0.0] * 259)],
    'GGUF: an unknown pre-tokenizer': [gguf(pre='kimi-k2'), gguf(pre='gemma4')],
    'GGUF: a tokenizer that is neither `gpt2` nor `llama`': [gguf(model='t5'), gguf(model=None), gguf(model='bert')],
    'GGUF: the id of a special token is outside the vocabulary': [
        gguf(eos_token_id=259), gguf(padding_token_id=32000), gguf(eot_token_id=99999)],
    'GGUF: a special token with the id 2³² − 1, which means none; tokens without text': [
        *(gguf(**{f'{key}_token_id': 0xffffffff}) for key in ('bos', 'eos', 'eot', 'padding', 'unknown')),
        gguf(tokens=['' if i in (50, 60) else token for i, token in enumerate(TOKENS)])],
    'GGUF: a duplicate token, tokens that are not UTF-8, tokens of hundreds of characters': [
        gguf(tokens=[*TOKENS[:-1], TOKENS[0]]), bytes_in_a_token,
        gguf(**{**SCORES, 'tokens': [*SCORES['tokens'][:-1], 'x' * 300]}, scores=[-float(i) for i in range(259)])],
    'a `tokenizer_class` that splits text differently from tokenizer.json': [
        edited('tokenizer_config.json', tokenizer_class='Qwen2Tokenizer')],
    'an unknown `tokenizer_class`': [edited('tokenizer_config.json', tokenizer_class='CodeLlamaTokenizer')],
    'special tokens with other ids than in tokenizer_config.json': [
        edited('tokenizer_config.json', added_tokens_decoder={'9999': {'content': '<|far|>', 'special': True}})],
    'a vocabulary without its own unknown token, which is only in `added_tokens_decoder`': [
        directory(without_unknown)],
    'an ordinary word as `pad_token`': [edited('tokenizer_config.json', pad_token='a')],
    "a decoder that is neither byte level nor SentencePiece's": [
        edited('tokenizer.json', decoder={'type': 'WordPiece', 'prefix': '##', 'cleanup': False})],
    'a tokenizer.json that the tokenizers library cannot read': [edited('tokenizer.json', model={'type': 'Magic'})],
    'a chat template without a place for a system prompt': [
        template("{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + MESSAGES),
        template(MESSAGES.replace('%}{{', "%}{% if m.role != 'system' %}{{").replace('}}{%', '}}{% endif %}{%'))],
    'a chat template that takes more than 1 s or 256 MiB for a question': [
        template('{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}' + MESSAGES)],
    "a chat template that does not write the user's message": [template('Hello')],
    'a chat template that is not valid jinja': [template('{% if %}')],
    '`fast_tokenizer_files` in tokenizer_config.json: the newest for transformers 5 is taken': [
        versions('tokenizer.json', '4.0.0', '99.0'), versions('tokenizer.json'), versions('99.0')],
    '`fast_tokenizer_files` with a file that is missing or outside, or of no version': [
        edited('tokenizer_config.json', fast_tokenizer_files=[name])
        for name in ('tokenizer.4.0.json', '../tokenizer.4.0.json', 'tokenizer.new.json')],
    'a directory without `tokenizer.json`': [directory(lambda made: (made / 'tokenizer.json').unlink())],
}
