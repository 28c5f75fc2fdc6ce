# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""How the next token is chosen, and when an answer ends: checked once, here."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
import operator
import secrets
from typing import Any

from tinychat_core import constraint
from tinychat_core.errors import InvalidParameterError, shown

MAX_SEED = 2**63 - 1
MAX_TOP_LOGPROBS = 20
MAX_BIASED_TOKENS = 1024


@dataclass(frozen=True)
class SamplingParams:
    """
    The parameters of one answer; every "off" value leaves the distribution unchanged.

    The sampler (`_tinychat.Sampler`) applies, in this order: `repetition_penalty` r: the logit of each token that the
    prompt or the answer already has becomes l/r where l > 0 and l*r elsewhere, once however often it occurred (CTRL,
    Keskar et al. 2019). DRY, as below. `frequency_penalty` f and `presence_penalty` q, as in OpenAI's API: a token that
    the answer (not the prompt) already has n times loses f*n + q from its logit. `logit_bias`: pairs of a token and
    what is added to its logit, or a mapping. `temperature` t: logits / t; 0 is greedy, the lowest id among equals, and
    everything below is ignored. `top_k`: only the k likeliest tokens. `top_p` p: only the smallest set of the likeliest
    tokens whose probability reaches p, at least one (Holtzman et al. 2020). `min_p` m: only tokens at least m times as
    likely as the likeliest one. Then one of the remaining tokens is drawn. The same `seed` draws the same tokens; None
    is a new seed, which `Generation.seed` returns.

    DRY ("don't repeat yourself", p-e-w, text-generation-webui #5677, 2024; names as in llama.cpp): a
    token that would continue a repetition loses `dry_multiplier` * `dry_base`^(n - `dry_allowed_length`) from its
    logit. n is how many tokens before it, among the last `dry_penalty_last_n` of prompt and answer (-1: all, 0:
    off), are equal to the last n ones; below `dry_allowed_length` there is no penalty. No repetition extends across a
    control token or a token with a line end, colon, quotation mark or asterisk, and these are never penalized.
    DRY is off if the multiplier is 0, or if there is a `json_schema` or a `regex`.

    `max_new_tokens` counts tokens, the one that ends the answer included. `stop`: texts that end the answer
    and are not part of it. `json_schema`, `regex`: the answer matches the given one, unless it ends early
    (`Generation.is_complete`); llguidance must be installed. `top_logprobs`: each token comes with its log probability
    and those of this many alternatives; None: without. They are computed before everything above.

    Raises InvalidParameterError for a value of the wrong type or out of range.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: str = ''
    regex: str = ''
    top_logprobs: int | None = None

    def __post_init__(self) -> None:
        """Check every field and make it the declared type."""
        self._put('max_new_tokens', _integer('max_new_tokens', self.max_new_tokens, 1, 2**31 - 1))
        # Where sampling is greedy in all but name, and 1/t is still far from overflowing.
        temperature = _number('temperature', self.temperature, 0.0, 100.0)
        self._put('temperature', temperature if temperature >= 1e-4 else 0.0)
        self._put('top_k', _integer('top_k', self.top_k, 0, 2**31 - 1))
        self._put('top_p', _number('top_p', self.top_p, 0.0, 1.0))
        self._put('min_p', _number('min_p', self.min_p, 0.0, 1.0))
        self._put('repetition_penalty', _number('repetition_penalty', self.repetition_penalty, 0.01, 100.0))
        self._put('dry_multiplier', _number('dry_multiplier', self.dry_multiplier, 0.0, 100.0))
        self._put('dry_base', _number('dry_base', self.dry_base, 1.0, 100.0))
        self._put('dry_allowed_length', _integer('dry_allowed_length', self.dry_allowed_length, 1, 2**31 - 1))
        self._put('dry_penalty_last_n', _integer('dry_penalty_last_n', self.dry_penalty_last_n, -1, 2**31 - 1))
        self._put('frequency_penalty', _number('frequency_penalty', self.frequency_penalty, -2.0, 2.0))
        self._put('presence_penalty', _number('presence_penalty', self.presence_penalty, -2.0, 2.0))
        self._put('logit_bias', _logit_bias(self.logit_bias))
        if self.seed is not None:
            self._put('seed', _integer('seed', self.seed, 0, MAX_SEED))
        if isinstance(self.stop, str) or not isinstance(self.stop, Sequence):
            raise InvalidParameterError(f'stop must be a sequence of strings, not {shown(self.stop)}')
        if not all(isinstance(text, str) and text for text in self.stop):
            raise InvalidParameterError('a stop text must be a non-empty string')
        self._put('stop', tuple(self.stop))
        constraint.check(self.json_schema, self.regex)
        if self.top_logprobs is not None:
            self._put('top_logprobs', _integer('top_logprobs', self.top_logprobs, 0, MAX_TOP_LOGPROBS))

    def seed_or_fresh(self) -> int:
        """Return the seed, or a new random one where it is None."""
        return secrets.randbelow(MAX_SEED + 1) if self.seed is None else self.seed

    def _put(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _logit_bias(given: Any) -> tuple[tuple[int, float], ...]:
    try:
        pairs = dict(given)
    except (TypeError, ValueError):
        raise InvalidParameterError(f'logit_bias must map tokens to numbers, not {shown(given)}') from None
    if len(pairs) > MAX_BIASED_TOKENS:
        raise InvalidParameterError(f'logit_bias must have at most {MAX_BIASED_TOKENS} tokens, not {len(pairs)}')
    return tuple(sorted((_integer('a token of logit_bias', token, 0, 2**31 - 1),
                         _number('a value of logit_bias', bias, -100.0, 100.0)) for token, bias in pairs.items()))


def _integer(name: str, value: Any, low: int, high: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidParameterError(f'{name} must be a whole number, not {shown(value)}') from None
    if isinstance(value, bool) or not low <= number <= high:
        raise InvalidParameterError(f'{name} must be {low} .. {high}, not {shown(number)}')
    return number


def _number(name: str, value: Any, low: float, high: float) -> float:
    try:
        number = math.nan if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:  # NaN compares false
        raise InvalidParameterError(f'{name} must be {low:g} .. {high:g}, not {shown(value)}')
    return number
