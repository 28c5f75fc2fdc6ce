# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of GGUF files against plain encoders: the words of LLaMA 3 and Qwen 2, SentencePiece's scores, frames."""
from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
import json
from pathlib import Path
from typing import Any
import unicodedata

import numpy as np
import plain_gguf
from plain_gguf import random_tensor
import pytest
from reference.byte_pairs import BytePairs
from reference.gguf_vocabularies import byte_level
from reference.mixed_text import MARKED_TEXTS, TEXTS as TEXTS_OF_ALL_KINDS
import regex
import tiny_llama
from tokenizers import models, pre_tokenizers, Regex, Tokenizer as Library, trainers

from tinychat_core.importers import import_model
from tinychat_core.importers.gguf_tokenizer import tokenizer_files
from tinychat_core.text.tokenizer import Tokenizer

# As the models were published.
LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
           r'\s+(?!\S)|\s+')
QWEN_2 = LLAMA_3.replace('{1,3}', '')
TEKKEN = (r'[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|'
          r'[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|'
          r'\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+')
GPT_4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
          r'\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+')
CONTROL = ['<|begin|>', '<|eot|>', '<|eom|>', '<|end|>']
TEXTS = ["Hello world 1234567 I'M don't\n\n\n  x = 3\t\n", 'def f(x: int) -> int:\n\treturn x**2  # square\n\n    if',
         '你好，世界。한국어 １２３', 'a\r\n\r\nb\rc  two  ', 'ﬁ e\u0301', '   ', '\n \n', "they'd've 's ",
         '12345678901', 'camelCase HTTPServer iPhone a/b//c', '<|eot|> x', '🤖🤖 👍🏽', '',
         'The robot moves its arm; the arm moves the robot.']
CORPUS = Path(__file__).read_text(encoding='utf-8')


def trained(pattern: str) -> dict[str, Any]:
    """Return the metadata of a small vocabulary that was learnt from this file, in words of that pattern."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), 'isolated'), pre_tokenizers.ByteLevel(False, use_regex=False)])
    library.train_from_iterator([CORPUS], trainers.BpeTrainer(
        vocab_size=600, special_tokens=CONTROL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    model = json.loads(library.to_str())['model']
    tokens = sorted(model['vocab'], key=model['vocab'].get)
    return {'tokens': tokens, 'merges': [' '.join(pair) for pair in model['merges']],
            'token_type': [3] * len(CONTROL) + [1] * (len(tokens) - len(CONTROL))}


def imported(directory: Path, **tokenizer: Any) -> Path:
    """Write a model with that tokenizer, import it and return the checkpoint."""
    made = tiny_llama.tensors()
    made['token_embd.weight'] = random_tensor('F16', (len(tokenizer['tokens']), 64), np.random.default_rng(0))
    changes = {f'tokenizer__ggml__{name}': value for name, value in {
        'bos_token_id': 0, 'eos_token_id': 1, **tokenizer}.items()}
    tiny_llama.save(directory / 'tiny.gguf', made, **changes)
    import_model(str(directory / 'tiny.gguf'), directory / 'ours')
    return directory / 'ours'


@pytest.mark.parametrize(('pre', 'pattern', 'prepare', 'bos'), [
    ('llama-bpe', LLAMA_3, str, [0]),
    ('qwen2', QWEN_2, lambda text: unicodedata.normalize('NFC', text), []),
    ('tekken', TEKKEN, str, [0]),
    ('gpt-4o', GPT_4O, str, []),
])
def test_the_words_are_those_of_the_model(tmp_path: Path, pre: str, pattern: str, prepare: Callable[[str], str],
                                          bos: list[int]) -> None:
    tokenizer = Tokenizer.open(imported(tmp_path, pre=pre, **trained(pattern)))
    plain = BytePairs(tmp_path / 'tiny.gguf', regex.compile(pattern).findall, whole=bool(bos))
    for text in [*TEXTS, CORPUS]:
        assert tokenizer.encode(text) == bos + plain.encode(prepare(text)), text


@pytest.mark.parametrize(('pre', 'pattern', 'prepare', 'whole'), [
    ('gpt-4o', GPT_4O, str, False), ('llama4', GPT_4O, str, False), ('tekken', TEKKEN, str, True),
    ('qwen2', QWEN_2, lambda text: unicodedata.normalize('NFC', text), False)])
def test_marks_and_capitals_are_those_of_the_model_where_llama_cpp_has_others(
        tmp_path: Path, pre: str, pattern: str, prepare: Callable[[str], str], whole: bool) -> None:
    metadata = byte_level(pre, {})
    plain_gguf.write(tmp_path / 'tiny.gguf', metadata, {})
    for name, text in tokenizer_files(metadata).items():
        (tmp_path / name).write_text(text, encoding='utf-8')
    plain = BytePairs(tmp_path / 'tiny.gguf', regex.compile(pattern).findall, whole=whole)
    for text in [*TEXTS_OF_ALL_KINDS[:3], *MARKED_TEXTS]:
        assert Tokenizer.open(tmp_path).encode(text) == plain.encode(prepare(text))


def test_a_word_that_is_a_token_stays_one_in_llama_3(tmp_path: Path) -> None:
    learnt = trained(LLAMA_3)
    learnt |= {'tokens': [*learnt['tokens'], 'Ġzyzzyva'], 'token_type': [*learnt['token_type'], 1]}
    tokenizer = Tokenizer.open(imported(tmp_path, pre='llama-bpe', **learnt))
    assert tokenizer.encode('a zyzzyva', add_bos=False)[-1] == len(learnt['tokens']) - 1


def sentencepiece() -> dict[str, Any]:
    """Return the metadata of a vocabulary with scores: all characters, and many stretches of this file."""
    words = {'▁' + word for word in regex.findall(r'\w+', CORPUS)}
    stretches = sorted({word[i:i + n] for word in words for n in (2, 3, 4, 6) for i in range(len(word) - n + 1)})
    characters = sorted({character for word in words for character in word})
    tokens = ['<unk>', '<s>', '</s>', *(f'<0x{byte:02X}>' for byte in range(256)), *stretches, *characters]
    scores = np.random.default_rng(0).permutation(len(stretches) + len(characters))
    return {'model': 'llama', 'tokens': tokens, 'scores': [0.0] * 259 + [-float(score) for score in scores],
            'token_type': [2, 3, 3] + [6] * 256 + [1] * len(scores), 'merges': None, 'unknown_token_id': 0,
            'bos_token_id': 1, 'eos_token_id': 2}


def joined_by_score(text: str, tokenizer: dict[str, Any]) -> list[int]:
    """Return the ids as SentencePiece makes them: always the two neighbours that make the best token."""
    ids = {token: i for i, token in enumerate(tokenizer['tokens'])}
    parts = list(text.replace(' ', '▁'))
    while True:
        pairs = [(tokenizer['scores'][ids[a + b]], -i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ids]
        if not pairs:
            break
        at = -max(pairs)[1]
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    return [id_ for part in parts for id_ in (
        [ids[part]] if part in ids else [ids[f'<0x{byte:02X}>'] for byte in part.encode()])]


@pytest.mark.parametrize('prefix', [True, False])
def test_sentencepiece_joins_by_score(tmp_path: Path, prefix: bool) -> None:
    learnt = sentencepiece()
    tokenizer = Tokenizer.open(imported(tmp_path, add_space_prefix=prefix, **learnt))
    for text in [*TEXTS, *CORPUS.splitlines()[:60]]:
        begun = ' ' * (prefix and bool(text)) + text
        assert tokenizer.encode(text) == [1, *joined_by_score(begun, learnt)], text
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(('changes', 'ids'), [
    ({'pre': 'llama-bpe'}, [0, 4]),
    ({'pre': 'llama-bpe', 'add_bos_token': False}, [4]),
    ({'pre': 'qwen2'}, [4]),
    ({'pre': 'qwen2', 'add_bos_token': True}, [0, 4]),
    ({'pre': 'gpt-2', 'add_bos_token': True, 'bos_token_id': None}, [4]),
    ({'pre': 'gpt-2', 'add_eos_token': True}, [4, 1]),
])
def test_what_a_text_gets_around_it(tmp_path: Path, changes: dict[str, Any], ids: list[int]) -> None:
    letters = ['!', *sorted(set(pre_tokenizers.ByteLevel.alphabet()) - {'!'})]
    directory = imported(tmp_path, **{'tokens': [*CONTROL, *letters], 'merges': [],
                                      'token_type': [3] * 4 + [1] * 256, **changes})
    assert Tokenizer.open(directory).encode('!') == ids


def test_every_end_of_an_answer_is_one(tmp_path: Path) -> None:
    directory = imported(tmp_path, pre='llama-bpe', eot_token_id=1, eom_token_id=2, **(
        {**trained(LLAMA_3), 'eos_token_id': 3}))
    assert json.loads((directory / 'generation_config.json').read_text())['eos_token_id'] == [3, 1, 2]
    assert Tokenizer.open(directory).stop_ids == {1, 2, 3}
