# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A real engine of random weights, and a tokenizer whose texts tell their tokens."""

from __future__ import annotations

from typing import Any

from plain_llama import random_tensors
import pytest
from scripted_engine import BYTES_VOCAB, ScriptedTokenizer

from tinychat_core.bench import shapes
from tinychat_core.engine import Engine
from tinychat_core.speculation.row_cost import RowCost

# Two heads a KV head, and more KV heads than threads: long caches are read in parts.
MODEL = {'model_type': 'llama', 'vocab_size': BYTES_VOCAB, 'hidden_size': 96, 'intermediate_size': 160,
         'num_hidden_layers': 2, 'num_attention_heads': 6, 'num_key_value_heads': 3, 'head_dim': 32,
         'max_position_embeddings': 1000, 'rms_norm_eps': 1e-5}
_SAMPLED: dict[str, Any] = {'temperature': 1.0}
# Length of the prompt, and fields of SamplingParams: answers of all kinds, to prompts of all lengths.
KINDS: list[tuple[int, dict[str, Any]]] = [
    (3, {}), (40, {**_SAMPLED, 'top_k': 20, 'top_p': 0.9}), (600, {**_SAMPLED, 'repetition_penalty': 1.3}),
    (8, {**_SAMPLED, 'dry_multiplier': 0.8}), (263, {}), (300, {'regex': '[a-c]{20}x+y'}),
    (17, {**_SAMPLED, 'json_schema': '{"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 4}'}),
    (90, {**_SAMPLED, 'min_p': 0.1, 'stop': ('a', 'zz')}), (12, {**_SAMPLED, 'top_logprobs': 2})]


class Letters(ScriptedTokenizer):
    """A letter for each byte."""

    def encode_within(self, text: str) -> list[int]:
        """Return the bytes."""
        return [*text.encode()]

    def detokenizer(self, keep_leading_space: bool = False) -> Any:
        """Return what turns ids to letters."""
        return self

    def push(self, token: int) -> str:
        """Return the letter of a token."""
        return chr(token if token < 128 else 0x4e00 + token)

    def finish(self) -> str:
        """Return nothing more."""
        return ''


class FixedCost(RowCost):
    """Times that do not depend on the machine."""

    def __init__(self, per_token: float = 0.1, seconds: float = 0.010) -> None:
        """Take the times."""
        self._fixed = per_token, seconds

    def note(self, seconds: float, tokens: int) -> None:
        """Do not listen."""

    @property
    def per_token(self) -> float:
        """What it was told."""
        return self._fixed[0]

    @property
    def seconds(self) -> float:
        """What it was told."""
        return self._fixed[1]


def tiny_engine(monkeypatch: pytest.MonkeyPatch, precision: str, kv_cache: str = 'auto', seed: int = 0,
                **changes: Any) -> Engine:
    """Return an engine with two threads; equal seeds make equal weights."""
    monkeypatch.setitem(shapes._SHAPES, 'tiny', shapes._Shape({**MODEL, **changes}, group_size=32))
    weights = precision.partition('A')[0]
    listed = shapes.manifest('tiny', weights)
    engine = Engine(listed.model, random_tensors(listed, seed), weights=weights, precision=precision, threads=2,
                    kv_cache=kv_cache)
    engine.row_cost = FixedCost()
    engine._tokenizer = Letters()  # type: ignore[assignment]
    return engine
