# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A process that is asked things whose cost nobody can tell beforehand, and that is killed when they cost too much."""
from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping
from contextlib import suppress
import json
import math
import os
import select
import signal
import subprocess
from threading import Lock
import time
from typing import Any, Protocol

from tinychat_core.errors import TinyChatError
from tinychat_core.workers.child import command
from tinychat_core.workers.serving import FRAME, send

_START_SECONDS = 60.0  # a loaded robot that reads Python from an SD card
_TICK = 0.01  # [s] between looks at the cancel flag and the clock
_GRACE = 0.05  # [s] for what is nearly done when it is canceled: a warm worker is worth that


class Flag(Protocol):
    """What asks for an end: a CancelFlag."""

    def is_set(self) -> bool:
        """Return whether it was asked for."""


class WorkerFailedError(TinyChatError):
    """A request that took too much time or memory, or ended the worker; the message says which, without a subject."""


class _KilledError(WorkerFailedError):
    """A worker that somebody else has killed."""


class WorkerCanceledError(Exception):
    """A request that was canceled; the worker is gone where it had not answered yet."""


class Worker:
    """
    A warm process of `tinychat_core.workers`, started when it is first asked, and again after it was killed.

    Requests and replies are JSON; raw bytes may follow a reply. All methods may be called from any thread.
    """

    def __init__(self, module: str, memory: int) -> None:
        """
        Name the module whose main() serves, one of `tinychat_core.workers`.

        `memory`: bytes that one request may add to what the process has.
        """
        self._module = module
        self._memory = memory
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        atexit.register(self.stop_if_idle)

    def ask(self, request: Mapping[str, Any], seconds: float, cancel: Flag | None = None,
            memory: int | None = None, answer: Callable[[Any], Any] | None = None,
            wait: float = math.inf) -> tuple[Any, bytes]:
        """
        Return the reply and its raw bytes.

        `answer`: what answers the worker's own questions meanwhile. `wait`: seconds to wait while it is busy.

        `seconds`: CPU time that the request may take; ten times that of a busy clock. `memory`: instead of that of all
        requests. Raises WorkerFailedError, WorkerCanceledError.
        """
        end = time.monotonic() + wait
        while not self._lock.acquire(timeout=_TICK):
            if cancel is not None and cancel.is_set():
                raise WorkerCanceledError
            if time.monotonic() > end:
                raise WorkerFailedError('is busy')
        try:
            message = {**request, 'seconds': seconds, 'memory': memory or self._memory}
            try:
                reply, raw = self._exchange(message, seconds, cancel, answer)
            except _KilledError:
                # By the kernel's choice, perhaps long before this request; once more, for the request may be innocent.
                reply, raw = self._exchange(message, seconds, cancel, answer)
        finally:
            self._lock.release()
        if 'failure' in reply:
            raise WorkerFailedError(self._too_much_memory() if reply['failure'] == 'memory' else
                                    f"failed: {' '.join(str(reply['failure']).split())[:200]}")
        return reply, raw

    def _exchange(self, message: Mapping[str, Any], seconds: float, cancel: Flag | None,
                  answer: Callable[[Any], Any] | None) -> tuple[Any, bytes]:
        process = self._running(cancel)
        if cancel is not None and cancel.is_set():  # while it started, or before: nothing has been asked
            raise WorkerCanceledError
        patience = _Patience(process.pid, seconds, cancel)
        self._send(process, message)
        reply, raw = self._read(process, patience)
        while answer is not None and 'question' in reply:
            self._send(process, {'answer': answer(reply['question'])})
            reply, raw = self._read(process, patience)
        return reply, raw

    def start(self) -> None:
        """Start the process where there is none; return when it is ready."""
        with self._lock:
            self._running(None)

    def stop_if_idle(self) -> None:
        """End the process where nobody asks it now; for finalizers, which may run within a request."""
        if self._lock.acquire(blocking=False):
            try:
                self._kill()
            finally:
                self._lock.release()

    def _running(self, cancel: Flag | None) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():
            self._process = None  # it belongs to the process that this one was forked from
        if self._process is None or self._process.poll() is not None:
            self._process = self._start(cancel)
        return self._process

    def _start(self, cancel: Flag | None) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in a terminal is for the parent, which ends it by ending.
        process = subprocess.Popen(command(self._module), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        self._owner = os.getpid()
        self._process = process
        self._read(process, _Patience(process.pid, _START_SECONDS, cancel))
        return process

    def _send(self, process: subprocess.Popen[bytes], message: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        try:
            send(process.stdin, message)
        except (BrokenPipeError, ConnectionResetError):
            self._kill()
            raise _KilledError('ends its process at once') from None

    def _read(self, process: subprocess.Popen[bytes], patience: _Patience) -> tuple[Any, bytes]:
        """Return the next frame; the process is gone where there is none in time."""
        try:
            length, raw = FRAME.unpack(self._bytes(process, FRAME.size, patience))
            return json.loads(self._bytes(process, length, patience)), self._bytes(process, raw, patience)
        except BaseException:
            self._kill()
            raise

    def _bytes(self, process: subprocess.Popen[bytes], count: int, patience: _Patience) -> bytes:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        parts = []
        while count:
            while not poll.poll(_TICK * 1000):
                patience.check()
            part = os.read(descriptor, min(count, 1 << 20))
            if not part:
                raise self._end_of(process)
            parts.append(part)
            count -= len(part)
        return b''.join(parts)

    def _end_of(self, process: subprocess.Popen[bytes]) -> WorkerFailedError:
        """Return why a process that says nothing more has ended."""
        try:
            code = process.wait(1.0)
        except subprocess.TimeoutExpired:
            code = 0
        if code == -signal.SIGKILL:
            return _KilledError(self._too_much_memory())
        # Rust aborts where memory cannot be had; a stack that is used up is a segmentation fault.
        return WorkerFailedError({-signal.SIGABRT: self._too_much_memory(), -signal.SIGSEGV: 'is nested too deeply',
                                  -signal.SIGXCPU: 'takes too much time'}.get(code, f'ends its process ({code})'))

    def _too_much_memory(self) -> str:
        return f'takes more than {self._memory >> 20} MiB'

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with suppress(OSError):  # what was written last was never read
                stream.close()


class _Patience:
    """How long a process is waited for."""

    def __init__(self, pid: int, seconds: float, cancel: Flag | None) -> None:
        self._clock = (~pid << 3) | 2  # the CPU clock of another process: clock_getcpuclockid(3)
        self._seconds = seconds
        self._cpu_end = self._cpu() + seconds
        self._end = time.monotonic() + 10 * seconds
        self._cancel = cancel
        self._canceled_at: float | None = None

    def check(self) -> None:
        """Raise where waiting any longer makes no sense."""
        now = time.monotonic()
        if self._cancel is not None and self._cancel.is_set():
            if self._canceled_at is None:
                self._canceled_at = now
            if now > self._canceled_at + _GRACE:
                raise WorkerCanceledError
        if now > self._end or self._cpu() > self._cpu_end:
            raise WorkerFailedError(f'takes more than {self._seconds:g} s')

    def _cpu(self) -> float:
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # it has ended, which the pipe tells next
            return 0.0
