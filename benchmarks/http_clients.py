# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The throughput of an OpenAI-compatible server with several clients at once.

    python benchmarks/http_clients.py http://127.0.0.1:8000/v1 [--clients 8] [--requests 3] [--tokens 64]

Each client sends its requests one after another, streamed, each with a prompt of its own. Prints tokens per second of
all clients together, and percentiles of the time to the first token.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
import json
from time import monotonic

import httpx


def ask(client: httpx.Client, model: str, prompt: str, tokens: int) -> tuple[int, float]:
    """Return the number of new tokens of an answer, and the time to its first one."""
    body = {'model': model, 'messages': [{'role': 'user', 'content': prompt}], 'max_tokens': tokens, 'temperature': 0,
            'stream': True, 'stream_options': {'include_usage': True}}
    begin, first, new_tokens = monotonic(), 0.0, 0
    with client.stream('POST', 'chat/completions', json=body) as response:
        if response.status_code != 200:
            raise SystemExit(f'{response.status_code}: {response.read().decode()}')
        for line in response.iter_lines():
            if not line.startswith('data: {'):
                continue
            event = json.loads(line.removeprefix('data: '))
            if event.get('usage'):
                new_tokens = event['usage']['completion_tokens']
            elif not first and any(choice['delta'].get('content') for choice in event['choices']):
                first = monotonic() - begin
    return new_tokens, first


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('url')
    parser.add_argument('--clients', type=int, default=8)
    parser.add_argument('--requests', type=int, default=3)
    parser.add_argument('--tokens', type=int, default=64)
    arguments = parser.parse_args()
    with httpx.Client(base_url=arguments.url + '/', timeout=600) as client:
        model = client.get('models').json()['data'][0]['id']

        def work(number: int) -> list[tuple[int, float]]:
            return [ask(client, model, f'Tell a story about robot {number}, chapter {i}.', arguments.tokens)
                    for i in range(arguments.requests)]

        ask(client, model, 'Hello', 4)
        begin = monotonic()
        with ThreadPoolExecutor(arguments.clients) as pool:
            answers = [answer for found in pool.map(work, range(arguments.clients)) for answer in found]
        seconds = monotonic() - begin
    first = sorted(seconds for _, seconds in answers)
    tokens = sum(count for count, _ in answers)
    print(f'{arguments.clients} clients, {len(answers)} answers, {tokens} tokens in {seconds:.1f} s: '
          f'{tokens / seconds:.1f} tokens/s; first token p50 {first[len(first) // 2]:.2f} s, '
          f'p99 {first[-1 - len(first) // 100]:.2f} s')


if __name__ == '__main__':
    main()
