# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The conversations of all clients. Knows nothing of ROS."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from tinychat_core.conversation import Conversation, Question
from tinychat_core.engine import CancelFlag, Engine
from tinychat_core.generation import Generation
from tinychat_core.prefix_cache import CachePool
from tinychat_core.text.prompt_size import check_size
from tinychat_ros.goal_check import Request

# Their turns are kept, not their caches: a robot may greet each person under a new name, for months.
MOST = 1000
IN_USE = 'in use by a running goal'
MOST_BYTES = 2**26  # of all turns together


@dataclass(frozen=True)
class Prepared:
    """The tokens of a request; of a conversation also who asks what."""

    tokens: Sequence[int]
    talk: Conversation | None = None
    question: Question | None = None


class Conversations:
    """
    Turns by conversation_id, the caches shared by all; one goal at a time.

    What is asked without a conversation uses a cache like any other, so that its system prompt stays in there.
    """

    def __init__(self, engine: Engine, caches: int) -> None:
        """Keep no more than so many KV caches."""
        self._engine = engine
        self._pool = CachePool(engine, caches)
        self._lock = Lock()
        self._talks: OrderedDict[str, Conversation] = OrderedDict()  # who came last is last
        self._running = ''

    def claim(self, conversation_id: str) -> None:
        """Keep a conversation from being reset while a goal of it runs; `end` must follow."""
        with self._lock:
            self._running = conversation_id

    def prepare(self, request: Request, cancel: CancelFlag) -> Prepared:
        """
        Return the tokens of a request; nothing is changed, so that nobody has to wait for the end of this.

        Raises like Engine.generate, and Canceled.
        """
        if not request.conversation_id:
            check_size((message['content'] for message in request.messages), self._engine, cancel)
            return Prepared(self._engine.tokenizer.encode_chat(request.messages))
        with self._lock:
            talk = self._talks.get(request.conversation_id)
        if talk is None:
            talk = Conversation(self._engine, request.system_prompt, self._pool)
        question = talk.prepare(request.messages[-1]['content'], request.params,
                                request.system_prompt if request.has_own_system_prompt else None, cancel)
        return Prepared(question.tokens, talk, question)

    def begin(self, request: Request, prepared: Prepared, cancel: CancelFlag) -> tuple[Generation, int]:
        """
        Return the answer to a request, and how many turns of its conversation it leaves out; `end` must follow.

        Raises like Engine.generate, and then leaves no trace.
        """
        talk, question = prepared.talk, prepared.question
        if talk is None or question is None:
            continues = request.messages[-1]['role'] == 'assistant'
            return self._pool.answer(None, prepared.tokens, request.params, cancel, continues), 0
        answer = talk.start(question, request.params, cancel)
        with self._lock:
            self._talks[request.conversation_id] = talk
            self._talks.move_to_end(request.conversation_id)
        return answer, talk.dropped_turns

    def end(self, has_failed: bool) -> None:
        """
        Note that nothing runs any more, and keep no more of the answer than its turn.

        The conversations that were used longest ago are forgotten where there are too many. After a failure no cache is
        trusted, nor its memory kept.
        """
        with self._lock:
            talk = self._talks.get(self._running)
            if talk is not None:
                talk.settle()
            self._pool.settle()
            if has_failed:
                self._pool.clear()
            taken = sum(talk.nbytes for talk in self._talks.values())
            while len(self._talks) > MOST or (taken > MOST_BYTES and len(self._talks) > 1):
                forgotten = self._talks.popitem(last=False)[1]
                taken -= forgotten.nbytes
                forgotten.close()
            self._running = ''

    def close(self) -> None:
        """Give up all caches; nothing can be asked any more."""
        self._pool.clear()  # it and those it has lent to know each other, and would wait for the garbage collector

    def reset(self, conversation_id: str) -> str:
        """Forget a conversation, '' for all of them; return why not, or ''."""
        with self._lock:
            if self._running and conversation_id in ('', self._running):
                return IN_USE
            if not conversation_id:
                names = [*self._talks]
            elif conversation_id in self._talks:
                names = [conversation_id]
            else:
                return 'unknown conversation'
            for name in names:
                self._talks.pop(name).close()
            return ''
