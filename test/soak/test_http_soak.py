# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat serve` under many requests, of which some clients vanish: none is lost, and memory stands still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
import json
from pathlib import Path
from random import Random
import re
import subprocess
import sys
from typing import Any

import httpx
import pytest
from soak import anonymous_memory
from waiting import wait_for

AT_ONCE = 8  # clients: more than are answered at the same time
# What a request may be: kind, share of all requests.
KINDS = {'whole': 0.3, 'streamed': 0.3, 'vanishes early': 0.1, 'vanishes in the stream': 0.2, 'invalid': 0.1}


class Soak:
    """Clients of a server process; `counts`: how the requests of each kind ended."""

    def __init__(self, url: str, pid: int) -> None:
        """Take the server."""
        self.client = httpx.Client(base_url=url, timeout=120.0)
        self.counts: Counter[str] = Counter()
        self.memory: list[float] = []
        self._pid = pid

    def run(self, requests: int) -> None:
        """Send so many requests, AT_ONCE at a time, and note the memory after each fiftieth."""
        random = Random(0)
        kinds = [kind for kind, share in KINDS.items() for _ in range(round(share * requests))]
        random.shuffle(kinds)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for number, end in enumerate(pool.map(self._ask, kinds, range(len(kinds))), start=1):
                self.counts[end] += 1
                if number % 50 == 0:
                    self.memory.append(anonymous_memory(self._pid))
                    print(f'{number} requests, {self.memory[-1]:.1f} MB', flush=True)

    def is_idle(self) -> bool:
        """Return whether no request runs or waits."""
        figures = self.client.get('/metrics').text
        found = re.findall(r'^tinychat_requests_(?:running|waiting) ([0-9.]+)$', figures, re.MULTILINE)
        assert len(found) == 2, figures
        return not any(map(float, found))

    def _ask(self, kind: str, number: int) -> str:
        random = Random(number)
        length = random.choice((1, 4, 16, 32))
        body: dict[str, Any] = {'messages': [{'role': 'user', 'content': f'Story {number % 7}: ' + 'tell me. ' * 10}],
                                'max_tokens': length, 'seed': number}
        if kind == 'invalid':
            body['temperature'] = -1
        if kind == 'vanishes early':
            try:
                response = self.client.post('/v1/chat/completions', json=body, timeout=random.uniform(0.001, 0.05))
            except httpx.TimeoutException:
                return kind
            return 'whole' if response.status_code == 200 else f'{kind}: {response.status_code}'
        if kind in ('whole', 'invalid'):
            response = self.client.post('/v1/chat/completions', json=body)
            if response.status_code != 200:
                return f'{kind}: {response.status_code}'
            answer = response.json()
            return kind if answer['usage']['completion_tokens'] <= length else f'wrong: {answer}'
        return self._stream(kind, {**body, 'stream': True})

    def _stream(self, kind: str, body: dict[str, Any]) -> str:
        with self.client.stream('POST', '/v1/chat/completions', json=body) as response:
            if response.status_code != 200:
                return f'{kind}: {response.status_code}'
            lines = (line for line in response.iter_lines() if line.startswith('data: '))  # others keep it alive
            if kind == 'vanishes in the stream':
                next(lines)
                return kind
            *events, last = lines
        reasons = [json.loads(event[6:])['choices'][0]['finish_reason'] for event in events]
        is_right = last == 'data: [DONE]' and reasons[-1] in ('stop', 'length') and not any(reasons[:-1])
        return kind if is_right else f'wrong: {events[-1]} {last}'


@pytest.fixture
def soak(smollm2_checkpoint: Path) -> Iterator[Soak]:
    """Return clients of a server with the real model, and a context that is soon full."""
    command = [Path(sys.executable).with_name('tinychat'), 'serve', smollm2_checkpoint, '--port', '0',
               '--max-seq-len', '256', '--parallel', '4', '--queue-depth', str(AT_ONCE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = next(found[0] for line in process.stdout if (found := re.search(r'http://[0-9.:]+', line)))
        soak = Soak(url, process.pid)
        yield soak
        soak.client.close()
        process.terminate()
        assert process.wait(30) == 0


def check(soak: Soak, requests: int) -> None:
    """Check that each request ended as its kind must, and that the server is idle and serves on."""
    print(dict(sorted(soak.counts.items())))
    assert not [end for end in soak.counts if end.startswith('wrong')]
    assert {*soak.counts} <= {*KINDS, 'invalid: 400'} and sum(soak.counts.values()) == requests
    wait_for(soak.is_idle, 60)
    assert soak._ask('whole', 0) == 'whole'


@pytest.mark.slow
def test_a_hundred_requests(soak: Soak) -> None:
    soak.run(100)
    check(soak, 100)


@pytest.mark.large
def test_two_thousand_requests(soak: Soak, capsys: Any) -> None:
    with capsys.disabled():
        soak.run(2000)
        check(soak, 2000)
        settled, end = max(soak.memory[:20]), max(soak.memory)
        print(f'memory: at most {settled:.1f} MB until request 1000, {end:.1f} MB until request 2000')
    assert end - settled < 2.0
