# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to a service over a scripted engine, and all that their listeners hear."""

from __future__ import annotations

from threading import Thread
from typing import Any

from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core.generation import Generation
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.conversation import Conversation
from tinychat_core.serving.request_queue import Admission
from tinychat_core.serving.requests import ChatRequest, Request
from tinychat_core.serving.results import ChatEvent, ChatResult, Finished, TextDelta


def answer_to(talk: Conversation, question: str, params: SamplingParams,
              system_prompt: str | None = None) -> Generation:
    """Return the answer to the next question of a conversation, once the answer before is a turn."""
    talk.settle()
    return talk.start(talk.prepare(question, params, system_prompt), params)


class Asked:
    """A request that has been submitted, and its events."""

    def __init__(self, service: ChatService, request: Request, **options: Any) -> None:
        """Submit it."""
        self.events: list[ChatEvent] = []
        self.handle = service.submit(request, self.events.append, **options)

    def result(self) -> ChatResult:
        """Wait for the end."""
        result = self.handle.wait(30)
        assert result is not None
        return result

    def deltas(self) -> list[TextDelta]:
        """Return the pieces of the text, the last one included."""
        return [event.delta if isinstance(event, Finished) else event for event in self.events
                if isinstance(event, (TextDelta, Finished))]

    def await_text(self) -> None:
        """Wait for the first piece of the text."""
        wait_for(lambda: any(delta.text for delta in self.deltas()))


class Talk:
    """A service, and requests to it."""

    def __init__(self, engine: ScriptedEngine, kv_caches: int = 2) -> None:
        """Open the service."""
        self.engine = engine
        self.admission = Admission()
        self.changes = 0
        self.service = ChatService(engine, kv_caches, lambda: self.admission, self._on_change)  # type: ignore[arg-type]
        self.service.open()

    def _on_change(self) -> None:
        self.changes += 1

    def send(self, prompt: str = 'Hello', params: SamplingParams | None = None, **fields: Any) -> Asked:
        """Submit a request."""
        request = ChatRequest(prompt=prompt, params=params or SamplingParams(), **fields)
        return Asked(self.service, request)

    def endless(self, **fields: Any) -> Asked:
        """Return a request in the middle of an answer that does not end."""
        self.engine.words, self.engine.stands_at = ['word '] * 1000, 3
        asked = self.send(**fields)
        asked.await_text()
        return asked

    def waiting(self, **fields: Any) -> Asked:
        """Return a request that waits behind one that is read for a minute."""
        self.engine.prefill_delay = 60.0
        self.send('first')
        wait_for(lambda: self.engine.prefilled)
        return self.send(**fields)

    def stop_beside(self, why: str = 'the end', **options: Any) -> Thread:
        """Stop the service in a thread of its own, and return that."""
        thread = Thread(target=self.service.stop, args=(why,), kwargs=options)
        thread.start()
        return thread
