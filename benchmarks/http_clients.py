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
from time import monotonic

from served import client_of, streamed


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('url')
    parser.add_argument('--clients', type=int, default=8)
    parser.add_argument('--requests', type=int, default=3)
    parser.add_argument('--tokens', type=int, default=64)
    arguments = parser.parse_args()
    with client_of(arguments.url) as client:
        model = client.get('models').json()['data'][0]['id']

        def work(number: int) -> list[tuple[int, float]]:
            answers = [streamed(client, f'Tell a story about robot {number}, chapter {i}.', arguments.tokens, model)
                       for i in range(arguments.requests)]
            return [(answer.tokens, answer.first) for answer in answers]

        streamed(client, 'Hello', 4, model)
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
