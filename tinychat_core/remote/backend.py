# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The backends as a goal sees them: a server with its health and its free places, and the model of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
import logging
from time import monotonic
from typing import Any, Protocol

from tinychat_core.errors import one_line
from tinychat_core.remote.config import RemoteConfig
from tinychat_core.remote.deadline import TimeIsOver, within
from tinychat_core.remote.health import Health
from tinychat_core.remote.openai_client import OpenAIClient
from tinychat_core.remote.openai_request import ignored_sampling, unable_reason
from tinychat_core.remote.outcomes import Busy, Failed, NotAnswered, Piece, Step, Unable
from tinychat_core.serving.backend_status import BackendStatus
from tinychat_core.serving.chat_handle import ChatHandle, Listener
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import ChatEvent, ChatResult, Finished, LOCAL, TextDelta
from tinychat_core.text.tool_calls.parser import Delta

_LOG = logging.getLogger(__name__)
_PROBE_TICK = 0.25  # [s]

Dialogue = Sequence[Mapping[str, Any]]


class Backend(Protocol):
    """What can answer a request."""

    name: str
    first_token_timeout: float | None
    stall_timeout: float | None

    def answer(self, request: ChatRequest, dialogue: Dialogue) -> AsyncGenerator[Step, None]:
        """Yield the pieces of the answer, and its result; raises NotAnswered. `dialogue`: all messages."""

    def failed(self, error: str) -> None:
        """Note that the backend has not kept a time."""


class RemoteBackend:
    """A server. Belongs to one event loop; what `status` and `refusal` read may be read from any thread."""

    def __init__(self, config: RemoteConfig, on_change: Callable[[], None]) -> None:
        """Take the configuration; `on_change` is called when the backend becomes available or stops being so."""
        self.config = config
        self.name = config.name
        self.first_token_timeout: float | None = config.first_token_timeout
        self.stall_timeout: float | None = config.stall_timeout
        self.health = Health(config.probe_period, config.first_token_timeout / 2)
        self._client = OpenAIClient(config)
        self._on_change = on_change
        self._running = 0
        self._shown = True
        self._logged = ''
        self._told: set[str] = set()

    @property
    def is_available(self) -> bool:
        """Whether the server works, as far as is known."""
        return self.health.is_available

    @property
    def is_full(self) -> bool:
        """Whether the server works, and has as many requests as it may have."""
        return self.is_available and self._running >= self.config.max_goals

    def status(self) -> BackendStatus:
        """Return what is known about the server."""
        health = self.health
        return BackendStatus(self.name, self.config.url, health.state, health.last_error, self._running,
                             health.answers, health.failures, health.time_to_first_token)

    def refusal(self, request: ChatRequest) -> str:
        """Return why the server does not get a request now; '' if it does."""
        reason = unable_reason(request, self.config.images)
        if reason:
            return f'cannot serve {reason}'
        if not self.health.is_available:
            return self.health.last_error or f'is {self.health.state}'
        return f'answers {self._running} requests already' if self._running >= self.config.max_goals else ''

    async def answer(self, request: ChatRequest, dialogue: Dialogue) -> AsyncGenerator[Step, None]:
        """See Backend."""
        self._warn_of_ignored(request)
        begun = monotonic()
        is_first = True
        self._running += 1
        self.health.begin()
        try:
            async with aclosing(self._client.answer(request, dialogue)) as steps:
                async for step in steps:
                    if isinstance(step, Piece) and is_first:
                        is_first = False
                        self.health.first_token(monotonic() - begun)
                    if isinstance(step, ChatResult):
                        self.health.answered()
                        step = replace(step, served_by=self.name)
                    yield step
        except NotAnswered as error:
            self._note(error)
            raise
        finally:
            self._running -= 1
            self._tell()

    def failed(self, error: str) -> None:
        """See Backend."""
        self._note(Failed(error))

    async def watch(self) -> None:
        """Probe the server now, and whenever nothing has been heard of it for a while, until canceled."""
        while True:
            if self.health.needs_probe:
                await self._probe()
            await asyncio.sleep(min(_PROBE_TICK, self.config.probe_period))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _probe(self) -> None:
        try:
            await within(self.config.first_token_timeout, self._client.probe())
            self.health.alive()
        except TimeIsOver:
            self.health.unreachable('does not answer a probe')
        except (Busy, Unable):
            self.health.alive()
        except NotAnswered as error:
            self.health.unreachable(str(error))
        self._tell()

    def _note(self, error: NotAnswered) -> None:
        if isinstance(error, Busy):
            self.health.busy(error.seconds)
        elif isinstance(error, Unable):
            if not self.health.last_error:  # once, until it answers again
                _LOG.warning(one_line(f'backend {self.name} {error}'))
            self.health.refused(str(error))
        else:
            self.health.failed(str(error), getattr(error, 'is_certain', False))
        self._tell()

    def _tell(self) -> None:
        """Log a new state once, and report whether the backend is available."""
        state = self.health.last_error if self.health.state == 'failing' else ''
        if state != self._logged:
            self._logged = state
            if state:
                _LOG.warning(one_line(f'backend {self.name} {state}'))
            else:
                _LOG.info('backend %s is up', self.name)
        if self.is_available != self._shown:
            self._shown = self.is_available
            self._on_change()

    def _warn_of_ignored(self, request: ChatRequest) -> None:
        name = ignored_sampling(request)
        if name and name not in self._told:
            self._told.add(name)
            _LOG.warning("backend %s answers without %s, which OpenAI's API does not have", self.name, name)


class LocalBackend:
    """The model of this machine. Its limits are those of the request itself."""

    name = LOCAL
    first_token_timeout: float | None = None
    stall_timeout: float | None = None

    def __init__(self, submit: Callable[[ChatRequest, Listener], ChatHandle]) -> None:
        """Take the function that submits a request, which must not refuse it."""
        self._submit = submit

    async def answer(self, request: ChatRequest, dialogue: Dialogue) -> AsyncGenerator[Step, None]:
        """See Backend; a dialogue replaces the conversation of the request. Returns when the request has ended."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[ChatEvent] = asyncio.Queue()
        # The goal joins pieces, makes sentences and has the time limit.
        inner = replace(request, time_limit=0.0, publish_period=0.0, wants_sentences=False)
        if dialogue:
            inner = replace(inner, prompt='', messages=dialogue, conversation_id='', system_prompt='',
                            default_system_prompt='')

        def listen(event: ChatEvent) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        handle = self._submit(inner, listen)
        has_ended = False
        try:
            while not has_ended:
                event = await events.get()
                if isinstance(event, Finished):
                    has_ended = True
                    yield _piece(event.delta)
                    yield event.result
                else:
                    yield _piece(event) if isinstance(event, TextDelta) else event
        finally:
            if not has_ended:
                handle.cancel()
                while not isinstance(await events.get(), Finished):
                    pass

    def failed(self, error: str) -> None:
        """See Backend; cannot happen."""


def _piece(delta: TextDelta) -> Piece:
    return Piece(Delta(delta.text, delta.thought, delta.calls), delta.new_tokens, delta.tool_calls, delta.logprobs)
