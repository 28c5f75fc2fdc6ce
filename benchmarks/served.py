# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat serve` in a process of its own, for the benchmarks that ask it, and the figures of a streamed answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import json
from pathlib import Path
import re
import subprocess
import sys
from time import monotonic
from typing import NamedTuple

import httpx

TIMEOUT = 600.0  # of a request [s]


class Answer(NamedTuple):
    """An answer, the number of its tokens, and the times to the first text and to the last [s]."""

    text: str
    tokens: int
    first: float
    last: float


@contextmanager
def served(model: Path, options: Sequence[str] = ()) -> Iterator[str]:
    """Provide the URL of a server on a free port, without /v1; `options` are those of `tinychat serve`."""
    command = [Path(sys.executable).with_name('tinychat'), 'serve', model, '--port', '0', *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = next((found[0] for line in process.stdout if (found := re.search(r'http://[0-9.:]+', line))), '')
            if not url:
                raise SystemExit(f'{" ".join(map(str, command))} ended before it served')
            yield url
        finally:
            process.terminate()


def client_of(url: str) -> httpx.Client:
    """Return a client for the paths under /v1 of a server."""
    return httpx.Client(base_url=f'{url.rstrip("/").removesuffix("/v1")}/v1/', timeout=TIMEOUT)


def streamed(client: httpx.Client, prompt: str, tokens: int, model: str = '') -> Answer:
    """Ask for a stream, greedily; SystemExit if it is refused."""
    body = {'model': model, 'messages': [{'role': 'user', 'content': prompt}], 'max_tokens': tokens, 'temperature': 0,
            'stream': True, 'stream_options': {'include_usage': True}}
    text, first, last, count = '', 0.0, 0.0, 0
    begin = monotonic()
    with client.stream('POST', 'chat/completions', json=body) as response:
        if response.status_code != 200:
            raise SystemExit(f'{response.status_code}: {response.read().decode()}')
        for line in response.iter_lines():
            if not line.startswith('data: {'):
                continue
            event = json.loads(line.removeprefix('data: '))
            if event.get('usage'):
                count = event['usage']['completion_tokens']
            for choice in event.get('choices', ()):
                if choice['delta'].get('content'):
                    last = monotonic() - begin
                    first = first or last
                    text += choice['delta']['content']
    return Answer(text, count, first, last)
