# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of GGUF files against llama.cpp, id for id: every name of words, every layout of special tokens."""
from __future__ import annotations

from functools import cache
import json
from pathlib import Path

import pytest

from reference import llama_cpp_judge
from reference.llama_cpp_cases import ask, Case, cases, digest, RECORDED
from tinychat_core.importers.gguf_tokenizer import tokenizer_files
from tinychat_core.text.tokenizer import Tokenizer

CASES = cases()


@cache
def recorded() -> dict[str, str]:
    return json.loads(RECORDED.read_text())


def ours(case: Case, directory: Path) -> list[list[int]]:
    for name, text in tokenizer_files(case.metadata).items():
        (directory / name).write_text(text, encoding='utf-8')
    tokenizer = Tokenizer.open(directory)
    return [tokenizer.encode(text, parse_special=case.parse_special, add_bos=case.add_special) for text in case.texts]


def test_every_case_is_recorded() -> None:
    assert sorted(recorded()) == sorted(case.name for case in CASES)


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.name)
def test_ids_are_those_of_llama_cpp(tmp_path: Path, case: Case) -> None:
    assert digest(ours(case, tmp_path)) == recorded()[case.name], 'see test_ids_are_those_of_llama_cpp_today'


@pytest.mark.large
def test_ids_are_those_of_llama_cpp_today(tmp_path: Path) -> None:
    assert llama_cpp_judge.PYTHON.exists(), 'benchmarks/peers.py makes the environment with llama.cpp'
    theirs = ask(CASES)
    for case in CASES:
        for text, mine, other in zip(case.texts, ours(case, tmp_path), theirs[case.name], strict=True):
            assert mine == other, (case.name, text)
