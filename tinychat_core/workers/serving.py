# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A worker's loop: one request after another from stdin, one reply each to stdout."""
from __future__ import annotations

from collections.abc import Callable
import json
import os
import resource
import struct
import sys
from typing import Any, IO

FRAME = struct.Struct('<II')  # bytes of JSON, then raw bytes
Reply = tuple[dict[str, Any], bytes]
Ask = Callable[[Any], Any]


def send(stream: IO[bytes], message: Any, raw: bytes = b'') -> None:
    """Write one frame; raises BrokenPipeError where nobody reads."""
    text = json.dumps(message).encode()
    stream.write(FRAME.pack(len(text), len(raw)) + text + raw)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Return the message of the next frame, None at the end; its raw bytes are passed over."""
    header = stream.read(FRAME.size)
    if len(header) < FRAME.size:
        return None
    length, raw = FRAME.unpack(header)
    message = json.loads(stream.read(length))
    stream.read(raw)
    return message


def serve(answer: Callable[[dict[str, Any], Ask], Reply]) -> None:
    """
    Answer requests, by `answer(request, ask)`, until stdin ends, which it does when the parent process ends.

    `ask` puts a question to the parent process, before the reply, and returns the answer. A request has `seconds` (CPU
    time) and `memory` (bytes that it may add). The kernel kills what goes on after twice that time, so that nothing is
    left where the parent was killed first.
    """
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), 'wb')
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints must not be taken for a reply
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def ask(question: Any) -> Any:
        send(replies, {'question': question})
        return receive(requests)['answer']

    send(replies, {'ready': True})
    while request := receive(requests):
        _limit(request['seconds'], request['memory'])
        try:
            reply, raw = answer(request, ask)
        except MemoryError:
            reply, raw = {'failure': 'memory'}, b''
        except Exception as error:
            reply, raw = {'failure': f'{type(error).__name__}: {error}'}, b''
        send(replies, reply, raw)


def _limit(seconds: float, memory: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(used.ru_utime + used.ru_stime + 2 * seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, resource.RLIM_INFINITY))
    with open('/proc/self/statm', encoding='ascii') as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + memory, resource.RLIM_INFINITY))
