# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
r"""
Measure the overhead of the HTTP server over the core: tokens per second, time to first token, several streams.

The server runs in its own process, and this process is its only client. Core and server are measured in turn, with the
same prompts, and their medians compared. No tokens are guessed, so that both compute the same passes:

    .venv/bin/python benchmarks/http_overhead.py --model models/smollm2-135m-instruct

`streams` asks eight questions one after the other, and then all at once: each answer must be the same.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
import json
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import httpx
from served import Answer, client_of, served, streamed

from tinychat_core.engine import Engine
from tinychat_core.sampling import SamplingParams

STORY = 'Write a very long story about a robot that explores a cave.'


def in_core(engine: Engine, prompt: str, tokens: int) -> Answer:
    """Generate the same answer in this process."""
    text, times = '', []
    begin = monotonic()
    for token in engine.generate([{'role': 'user', 'content': prompt}], SamplingParams(max_new_tokens=tokens)):
        times.append(monotonic() - begin)
        text += token.text
    return Answer(text, len(times), times[0], times[-1])


def tokens_per_s(answer: Answer) -> float:
    """Return the decode speed: the first token belongs to the prefill."""
    return (answer.tokens - 1) / (answer.last - answer.first)


def decode(client: httpx.Client, engine: Engine, rounds: int, tokens: int) -> dict[str, Any]:
    """Compare the decode speed [tokens/s]."""
    pairs = [(in_core(engine, STORY, tokens), streamed(client, STORY, tokens)) for _ in range(rounds)]
    core, http = ([tokens_per_s(answer) for answer in answers] for answers in zip(*pairs, strict=True))
    return {'core_tokens_per_s': median(core), 'http_tokens_per_s': median(http), 'ratio': median(http) / median(core),
            'ratio_of_rounds': sorted(round(b / a, 3) for a, b in zip(core, http, strict=True)),
            'same_text': all(a.text == b.text for a, b in pairs)}


def first_token(client: httpx.Client, engine: Engine, rounds: int) -> dict[str, Any]:
    """Compare the time to the first text [ms]; the prompts are in no cache."""
    core, http = [], []
    for i in range(rounds):
        prompt = f'{i}: say hello.'
        core.append(1e3 * in_core(engine, prompt, 4).first)
        http.append(1e3 * streamed(client, prompt, 4).first)
    return {'core_ms': median(core), 'http_ms': median(http), 'http_adds_ms': median(http) - median(core)}


def streams(client: httpx.Client, tokens: int) -> dict[str, Any]:
    """Compare eight answers at once with the same answers alone."""
    prompts = [f'Tell a story about robot {i}.' for i in range(8)]
    alone = [streamed(client, prompt, tokens) for prompt in prompts]
    begin = monotonic()
    with ThreadPoolExecutor(8) as pool:
        together = [*pool.map(lambda prompt: streamed(client, prompt, tokens), prompts)]
    seconds = monotonic() - begin
    return {'streams': 8, 'tokens': sum(answer.tokens for answer in together),
            'lost_or_changed': sum(a[:2] != b[:2] for a, b in zip(alone, together, strict=True)),
            'tokens_per_s_together': sum(answer.tokens for answer in together) / seconds,
            'tokens_per_s_alone': sum(answer.tokens for answer in alone) / sum(answer.last for answer in alone)}


def main() -> None:
    """Measure and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=Path, default=Path('models/smollm2-135m-instruct'))
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--tokens', type=int, default=200, help='length of an answer (default: %(default)s)')
    options = parser.parse_args()
    engine = Engine.open(options.model, max_seq_len=2048, speculation='off')
    try:
        with (served(options.model, ['--speculation', 'off', '--max-seq-len', '2048']) as url,
              client_of(url) as client):
            in_core(engine, 'Hi', 8), streamed(client, 'Hi', 8)
            print(json.dumps({'decode': decode(client, engine, options.rounds, options.tokens)}), flush=True)
            print(json.dumps({'first_token': first_token(client, engine, 5 * options.rounds)}), flush=True)
            print(json.dumps({'streams': streams(client, options.tokens)}), flush=True)
    finally:
        engine.close()


if __name__ == '__main__':
    main()
