# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Measures answers that are computed at the same time, through the scheduler that serves them."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import monotonic, perf_counter
from typing import Any

from tinychat_core.engine import Engine
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import ChatEvent, TextDelta
from tinychat_core.text.tool_calls.grammar import AnswerParts

_WARM_STEPS = 8
_ALONE_STEPS = 20  # of the others, before one more prompt arrives


@dataclass(frozen=True)
class ParallelSpeed:
    """Figures of `parallel` answers at the same time, under the names of `tinychat bench --json`."""

    parallel: int
    context: int                  # tokens of each prompt
    tokens_per_s: float           # of all answers together
    tokens_per_s_each: float
    step_ms: float                # median time between two tokens of an answer
    first_token_ms: float         # of one more prompt while the others decode; 0 for `parallel` 1
    longest_gap_steps: float      # between two tokens of the others meanwhile, in their own steps before it

    def as_json(self) -> dict[str, object]:
        """Return the figures for `--json`, rounded."""
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()}


class NoText:
    """A tokenizer for a model without one: no token ends an answer, and each token is one character."""

    stop_ids = control_ids = frozenset[int]()
    stop_texts: tuple[str, ...] = ()

    def answer_parts(self, *_: Any, **__: Any) -> AnswerParts:
        """Return the marks of plain text."""
        return AnswerParts()

    def detokenizer(self, **_: Any) -> NoText:
        """Return the detokenizer."""
        return self

    def push(self, _: int) -> str:
        """Return a character."""
        return '.'

    def finish(self) -> str:
        """Return nothing."""
        return ''


class _Stream:
    """A request, and the times of its tokens."""

    def __init__(self, service: ChatService, prompt: Sequence[int], new_tokens: int) -> None:
        self.times: list[float] = []
        self.begin = monotonic()
        # A temperature, so that no answer repeats itself, and a seed.
        request = ChatRequest(raw_prompt=prompt, params=SamplingParams(
            max_new_tokens=new_tokens, temperature=1.0, seed=len(prompt)))
        self.handle: ChatHandle = service.submit(request, self._note)

    def _note(self, event: ChatEvent) -> None:
        if isinstance(event, TextDelta):
            self.times.append(perf_counter())

    def await_tokens(self, count: int) -> None:
        while len(self.times) < count and self.handle.wait(0.001) is None:
            pass

    def end(self) -> None:
        self.handle.cancel()
        self.handle.wait()

    def gaps(self, begin: float, end: float) -> list[float]:
        times = [time for time in self.times if begin <= time <= end]
        return [after - before for before, after in zip(times, times[1:], strict=False)]  # noqa: RUF007


def measure_parallel(engine: Engine, parallel: int, context: int, new_tokens: int) -> ParallelSpeed:
    """
    Measure `parallel` answers of `new_tokens` tokens each, and then one more prompt while all but one of them decode.

    The engine's context must have much more room than for `context` + `new_tokens` tokens: answers continue while
    others read their prompts. Texts do not matter, and nothing is guessed.
    """
    before, engine.parallel, engine.speculates = (engine.parallel, engine.speculates), parallel, False
    tokenizer, engine._tokenizer = engine._tokenizer, NoText()  # type: ignore[assignment]
    service = ChatService(engine)
    service.open()
    try:
        streams = [_Stream(service, _prompt(engine, context, i), engine.context_length) for i in range(parallel)]
        for stream in streams:
            stream.await_tokens(_WARM_STEPS)
        begin, counts = perf_counter(), [len(stream.times) for stream in streams]
        for stream, count in zip(streams, counts, strict=True):
            stream.await_tokens(count + new_tokens)
        end = perf_counter()
        gaps = [gap for stream in streams for gap in stream.gaps(begin, end)]
        for stream in streams:
            stream.end()
        first, longest = _arrive(service, engine, parallel, context) if parallel > 1 else (0.0, 0.0)
        step = median(gaps)
        return ParallelSpeed(parallel, context, len(gaps) / (end - begin), len(gaps) / (end - begin) / parallel,
                             1e3 * step, 1e3 * first, longest)
    finally:
        service.stop('measured')
        service.release()
        (engine.parallel, engine.speculates), engine._tokenizer = before, tokenizer


def _arrive(service: ChatService, engine: Engine, parallel: int, context: int) -> tuple[float, float]:
    """Return the time to the first token of one more prompt, and the longest gap of the others meanwhile, in steps."""
    others = [_Stream(service, _prompt(engine, 8, i), engine.context_length) for i in range(parallel - 1)]
    for stream in others:
        stream.await_tokens(_WARM_STEPS)
    alone = perf_counter()
    for stream in others:
        stream.await_tokens(len(stream.times) + _ALONE_STEPS)
    arriving = _Stream(service, _prompt(engine, context, parallel + 1), 1)
    begin = perf_counter()
    result = arriving.handle.wait()
    assert result is not None
    end = perf_counter()
    step = median(gap for stream in others for gap in stream.gaps(alone, begin))
    gaps = [gap for stream in others for gap in stream.gaps(begin, end)]
    for stream in others:
        stream.end()
    return result.queue_time + result.time_to_first_token, max(gaps, default=0.0) / step


def _prompt(engine: Engine, length: int, number: int) -> list[int]:
    return [(7 * i + 31 * number + 1) % engine.vocab_size for i in range(length)]
