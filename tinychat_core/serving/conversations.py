# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The conversations of all clients, and the KV caches that they share with requests that belong to none."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import auto, Enum
from threading import Lock
from time import monotonic
from typing import Any

from tinychat_core.engine import CancelFlag, Engine
from tinychat_core.errors import InvalidParameterError
from tinychat_core.generation import Generation
from tinychat_core.serving.conversation import Conversation, Question
from tinychat_core.serving.kv_cache_pool import CachedPrefix, KVCachePool
from tinychat_core.serving.prompt_size import check_size
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.text.messages import texts_of
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.tools import ToolCall
from tinychat_core.vision.image_rows import ImageRows, text_ids

# Their turns are kept, not their caches: a robot may greet each person under a new name, for months.
MAX_CONVERSATIONS = 1000
MAX_BYTES = 2**26  # of all turns together


class Reset(Enum):
    """The result of a request to reset a conversation."""

    DONE = auto()
    IN_USE = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, eq=False)
class Prepared:
    """
    The tokens of a request, the parts of its answer, and, in a conversation, the conversation and the question.

    `images`: those in the prompt, which are held while it is answered; `image_time`: what decoding and encoding them
    took [s].
    """

    tokens: Sequence[int]
    parts: AnswerParts
    talk: Conversation | None = None
    question: Question | None = None
    images: Sequence[ImageRows] = ()
    image_time: float = 0.0

    @property
    def image_tokens(self) -> int:
        """Tokens of the prompt that are rows of images."""
        return len(self.tokens) - len(text_ids(self.tokens))

    def with_tokens(self, tokens: Sequence[int]) -> Prepared:
        """Return the same with other tokens."""
        return replace(self, tokens=tokens)


class Conversations:
    """
    Turns by conversation_id, and one pool of KV caches. All methods may be called from any thread.

    A request without a conversation also uses a cache of the pool, so that its system prompt can be reused. For each
    running request, call `claim`, `prepare`, `begin` and `end`, in this order; `end` in any case.
    """

    def __init__(self, engine: Engine, kv_caches: int) -> None:
        """Use at most `kv_caches` KV caches."""
        self._engine = engine
        self._pool = KVCachePool(engine, kv_caches)
        self._lock = Lock()
        self._talks: OrderedDict[str, Conversation] = OrderedDict()  # the most recently used one is last
        self._in_use: Counter[str] = Counter()  # running requests by conversation
        self._to_forget: set[str] = set()

    def claim(self, conversation_id: str) -> None:
        """Protect a conversation from `reset` while one of its requests runs."""
        with self._lock:
            self._in_use[conversation_id] += 1

    def prepare(self, request: ChatRequest, cancel: CancelFlag) -> Prepared:
        """
        Return the tokens of a request. This changes nothing, so a canceled request need not wait until it returns.

        Raises like Engine.generate, and Canceled.
        """
        tokenizer, raw = self._engine.tokenizer, request.raw_prompt
        tokens: Sequence[int]
        if raw:
            if isinstance(raw, str):
                check_size([raw], self._engine, cancel)
            tokens = tokenizer.encode(raw) if isinstance(raw, str) else [*raw]
            if len(text_ids(tokens)) < len(tokens):  # a client must not name rows of somebody's images
                raise InvalidParameterError('a token of the prompt is outside the vocabulary of '
                                            f'{self._engine.vocab_size}')
            return Prepared(tokens, AnswerParts(json_schema=request.params.json_schema, regex=request.params.regex))
        if not request.conversation_id:
            dialogue = request.dialogue
            check_size(texts_of(dialogue), self._engine, cancel)
            images, image_time = self._encoded(request, cancel)
            tokens = tokenizer.encode_chat(_with_rows(dialogue, images), tools=request.tools, thinking=request.thinking)
            return Prepared(tokens, self._parts(request, tokens), images=images, image_time=image_time)
        with self._lock:
            talk = self._talks.get(request.conversation_id)
        if talk is None:
            talk = self._new(request)
        images, image_time = self._encoded(request, cancel)
        question = talk.prepare(request.prompt, request.params, request.system_prompt or None, cancel,
                                request.thinking, request.tools, request.messages, images)
        return Prepared(question.tokens, self._parts(request, question.tokens), talk, question, images, image_time)

    def begin(self, request: ChatRequest, prepared: Prepared, cancel: CancelFlag) -> tuple[Generation, int]:
        """
        Return the answer to a request, and how many turns of its conversation have been left out so far.

        Raises like Engine.generate; nothing has changed then.
        """
        talk, question = prepared.talk, prepared.question
        if talk is None or question is None:
            return self._pool.generate(prepared, prepared.tokens, request.params, cancel, request.is_continued,
                                       prepared.parts), 0
        answer = talk.start(question, request.params, cancel, prepared.parts)
        with self._lock:
            self._talks[request.conversation_id] = talk
            self._talks.move_to_end(request.conversation_id)
        return answer, talk.dropped_turns

    def dialogue(self, request: ChatRequest) -> list[Mapping[str, Any]]:
        """
        Return all messages of a request, the earlier turns of its conversation included.

        Raises InvalidParameterError for the result of a tool call that the conversation does not have.
        """
        if not request.conversation_id:
            return request.dialogue
        with self._lock:
            talk = self._talks.get(request.conversation_id) or self._new(request)
        return talk.dialogue(request.prompt, request.system_prompt or None, request.messages)

    def add_turn(self, request: ChatRequest, text: str, calls: Sequence[ToolCall]) -> None:
        """Append a turn that a remote model has answered to the conversation of a request, if it has one."""
        name = request.conversation_id
        if not name:
            return
        with self._lock:
            talk = self._talks.get(name) or self._new(request)
            self._talks[name] = talk
            talk.add_turn(request.prompt, request.messages, text, calls, request.system_prompt or None)
            self._talks.move_to_end(name)
            self._forget_oldest()

    def hold(self, prepared: Prepared) -> CachedPrefix:
        """Return the cache for a prompt that is read without an answer; the turns of its conversation stay."""
        return self._pool.hold(prepared.talk or prepared, prepared.tokens)

    def borrow(self, owner: Hashable) -> CachedPrefix:
        """Return an empty cache, until `release`."""
        return self._pool.hold(owner, (0,))

    def release(self, owner: Hashable, has_failed: bool) -> None:
        """Take back what `borrow` returned; its content is lost. After a failure, all caches are discarded."""
        self._pool.release(owner)
        if has_failed:
            self._pool.clear()

    def end(self, request: ChatRequest, prepared: Prepared | None, has_failed: bool,
            calls: Sequence[ToolCall] = ()) -> None:
        """
        Record that a request has ended; only the turn of its conversation is kept, with the tool calls of its answer.

        If there are too many conversations, the least recently used ones are deleted. After a failure, all caches are
        discarded and their memory is released.
        """
        with self._lock:
            try:
                self._settle(request, prepared, calls)
            finally:
                if has_failed:
                    self._pool.clear()
                self._in_use -= Counter([request.conversation_id])
                for conversation_id in self._to_forget - {*self._in_use}:
                    self._forget(conversation_id)
                self._forget_oldest()

    def close(self) -> None:
        """Discard all caches; no request may use this afterwards."""
        self._pool.clear()  # breaks reference cycles with the owners, so that the memory is freed at once

    def reset(self, conversation_id: str) -> Reset:
        """Delete a conversation ('': all of them), unless a running request uses it."""
        with self._lock:
            in_use = {*self._in_use} - {''}
            if in_use and conversation_id in {'', *in_use}:
                return Reset.IN_USE
            if conversation_id and conversation_id not in self._talks:
                return Reset.UNKNOWN
            for name in [conversation_id] if conversation_id else [*self._talks]:
                self._forget(name)
            return Reset.DONE

    def reset_when_free(self, conversation_id: str) -> None:
        """Delete a conversation at once, or as soon as the running request that uses it has ended."""
        with self._lock:
            if conversation_id in self._in_use:
                self._to_forget.add(conversation_id)
            else:
                self._forget(conversation_id)

    def _new(self, request: ChatRequest) -> Conversation:
        return Conversation(self._engine, request.system_prompt or request.default_system_prompt, self._pool)

    def _encoded(self, request: ChatRequest, cancel: CancelFlag) -> tuple[list[ImageRows], float]:
        """Return the rows of a request's images, and how long they took [s]."""
        begun = monotonic()
        images = [image.load(cancel) for image in request.all_images]
        return (self._engine.encode_images(images, cancel), monotonic() - begun) if images else ([], 0.0)

    def _parts(self, request: ChatRequest, tokens: Sequence[int]) -> AnswerParts:
        return self._engine.tokenizer.answer_parts(tokens, request.tools, thinking=request.thinking,
                                                   json_schema=request.params.json_schema, regex=request.params.regex)

    def _settle(self, request: ChatRequest, prepared: Prepared | None, calls: Sequence[ToolCall]) -> None:
        """Release an answer; only its turn is kept."""
        if prepared is None:
            return
        if prepared.talk is None:
            self._pool.release(prepared)
            return
        prepared.talk.settle(calls)
        if prepared.talk is not self._talks.get(request.conversation_id):  # `begin` did not succeed
            prepared.talk.close()

    def _forget_oldest(self) -> None:
        taken = sum(talk.nbytes for talk in self._talks.values())
        for conversation_id in [*self._talks]:
            if len(self._talks) <= MAX_CONVERSATIONS and (taken <= MAX_BYTES or len(self._talks) == 1):
                return
            if conversation_id in self._in_use:  # its cache is being written
                continue
            forgotten = self._talks.pop(conversation_id)
            taken -= forgotten.nbytes
            forgotten.close()

    def _forget(self, conversation_id: str) -> None:
        self._to_forget.discard(conversation_id)
        talk = self._talks.pop(conversation_id, None)
        if talk is not None:
            talk.close()


def _with_rows(dialogue: Sequence[Mapping[str, Any]], images: Sequence[ImageRows]) -> list[Mapping[str, Any]]:
    """Return the messages with the rows of their images, which `images` has in order."""
    following = iter(images)
    return [{**message, 'images': [next(following) for _ in message['images']]} if message.get('images') else message
            for message in dialogue]
