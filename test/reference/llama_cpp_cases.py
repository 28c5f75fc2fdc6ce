# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What our tokenizers of GGUF files and llama.cpp's are both asked.

`cd test && python -m reference.llama_cpp_cases [PYTHON]` asks llama.cpp (of the peers' environment, or of PYTHON) and
records digests of its ids in golden/llama-cpp. Where merges.txt is not there, it is learnt first.
"""
from __future__ import annotations

from dataclasses import dataclass
import hashlib
from itertools import product
import json
from pathlib import Path
import sys
import tempfile
from typing import Any

from core import plain_gguf

from reference import llama_cpp_judge
from reference.gguf_vocabularies import byte_level, CONTROL, layouts, MERGES, spelt
from reference.mixed_text import ASCII_CASE, LANGUAGES, MARKED, MARKED_TEXTS, mixed, PLAIN, TEXTS

RECORDED = MERGES.with_name('ids.json')
# Every name of a way to cut words that is imported.
_NAMES = """
    llama-bpe llama-v3 llama3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano smaug-bpe dbrx qwen2
    deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2 qwen35 gpt-2 phi-2 mpt olmo jais
    trillion granite-docling gigachat a.x-4.0 mellum exaone4 jina-es jina-de jina-v2-es jina-v2-de modern-bert
    smollm starcoder refact command-r codeshell exaone minerva-7b mellum2 falcon gpt-4o llama4 kanana2 talkie
    minimax-m2 tekken deepseek-llm deepseek-coder deepseek-v3 hunyuan-dense joyai-llm hy_v4 jais-2 minicpm5
    laguna seed-coder ufakzeka exaone-moe bailingmoe bailingmoe2 llada-moe poro-chat bloom gpt3-finnish viking
    default
"""
_CASED = ('gpt-4o', 'llama4', 'kanana2', 'talkie', 'minimax-m2', 'tekken')  # words that end where capitals begin
_COMPOSED = ('qwen2', 'deepseek-r1-qwen', 'f2llmv2', 'qwen35')  # form C, which llama.cpp leaves out


@dataclass(frozen=True)
class Case:
    """A file and texts for it."""

    name: str
    metadata: dict[str, Any]
    texts: list[str]
    parse_special: bool = False
    add_special: bool = True


def cases() -> list[Case]:
    """Return all: every name on 100 kB of text, and every layout of special tokens in all ways to ask."""
    special = {'<s>': CONTROL, '</s>': CONTROL}
    found = [Case(f'words {name}', byte_level(name, special, bos_token_id='<s>', eos_token_id='</s>'), texts_of(name))
             for name in _NAMES.split()]
    found.append(Case('words of no name', byte_level(None, special, bos_token_id='<s>', eos_token_id='</s>'),
                      texts_of('default')))
    for (name, metadata), parse, add in product(layouts().items(), (False, True), (False, True)):
        asked = spelt(metadata, [TEXTS[0][:400], 'plain words', '  two spaces'])
        found.append(Case(f'{name}, {"parsed" if parse else "as text"}, {"framed" if add else "bare"}', metadata, asked,
                          parse, add))
    return found


def texts_of(name: str) -> list[str]:
    """Return 100 kB of text where llama.cpp's words are the model's."""
    return ASCII_CASE if name in _CASED else TEXTS if name in _COMPOSED else [*TEXTS, *MARKED_TEXTS]


def digest(ids: list[list[int]]) -> str:
    """Return a short checksum of the ids of some texts."""
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


def ask(asked: list[Case], python: Path = llama_cpp_judge.PYTHON) -> dict[str, list[list[int]]]:
    """Return llama.cpp's ids by the names of the cases."""
    with tempfile.TemporaryDirectory() as directory:
        jobs = [{'path': str(plain_gguf.write(Path(directory) / f'{i}.gguf', case.metadata, {})), 'texts': case.texts,
                 'parse_special': case.parse_special, 'add_special': case.add_special} for i, case in enumerate(asked)]
        return dict(zip([case.name for case in asked], llama_cpp_judge.ask(jobs, python), strict=True))


def learn() -> None:
    """Write the merges that frequent neighbours of mixed text make, six characters at most, across all words."""
    from tokenizers import models, pre_tokenizers, Tokenizer, trainers

    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.train_from_iterator(
        [mixed(LANGUAGES, PLAIN, MARKED, characters=10_000, seed=seed) for seed in range(1000, 1020)],
        trainers.BpeTrainer(vocab_size=2000, max_token_length=6, show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    MERGES.write_text(''.join(' '.join(pair) + '\n' for pair in json.loads(library.to_str())['model']['merges']))


if __name__ == '__main__':
    if not MERGES.exists():
        learn()
    answers = ask(cases(), *map(Path, sys.argv[1:]))
    RECORDED.write_text(json.dumps({name: digest(ids) for name, ids in answers.items()}, indent=1) + '\n')
