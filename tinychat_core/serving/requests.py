# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Requests, as every door submits them. Their fields are checked here, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
import math
from typing import Any, ClassVar

from tinychat_core.errors import InvalidParameterError, shown, TinyChatError
from tinychat_core.sampling import SamplingParams
from tinychat_core.text.messages import checked_message, texts_of
from tinychat_core.text.tool_calls.tools import NO_TOOLS, ToolUse
from tinychat_core.vision.sources import ImageSource

# A prompt that exceeds the context is accepted and then aborted with an error code. These limits refuse prompts that no
# model could read.
MAX_CHARACTERS = 2**23  # of all texts together
MAX_MESSAGES = 10_000
MAX_ID_CHARACTERS = 256  # of conversation_id
MAX_STOPS = 64
MAX_IMAGES = 64  # of all messages together
MAX_STOP_CHARACTERS = 1024
MAX_OPTIONS = 1000
MAX_OPTION_CHARACTERS = 1024
YES_OR_NO = ('yes', 'no')
MAX_TEXTS = 2048  # of an EmbeddingRequest


class RefusalReason(str, Enum):
    """Why a request is not accepted now; the same request may be accepted later."""

    INACTIVE = 'inactive'
    BUSY = 'busy'
    QUEUE_FULL = 'queue full'


class Refusal(TinyChatError):
    """The request is not accepted; nothing was done for it."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        """Take the reason, for a program, and a message, for a person."""
        super().__init__(f'[{reason.value}] {message}')
        self.reason = reason


def check_amount(name: str, size: int, most: int, unit: str) -> None:
    """Raise InvalidParameterError for a field `name` that has more than `most` of something."""
    if size > most:
        raise InvalidParameterError(f'{name}: {size} {unit}, more than the limit of {most}')


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """
    A prompt, or a whole dialogue, and how to answer it.

    Give exactly one of `prompt` (the user's next turn), `messages` (as for Tokenizer.encode_chat; if the last message
    is the assistant's, the model continues it) and `raw_prompt` (a text, or its tokens, that the model continues
    without the chat template). `system_prompt`: if it is '', `default_system_prompt` applies, except in a conversation
    that already has turns. `conversation_id`: the turns are kept under this name, '' for none; with `prompt`, or with
    `messages` of role tool: the results of the calls of the last answer. `images`: images before `prompt`;
    a user's message may have its own `images`. Each is decoded when the request starts. `tools`: functions that the
    answer may call. `thinking`: whether the model thinks first; None: the default of its chat template. `priority`:
    higher runs first. `time_limit`: from acceptance to the end, waiting included [s]; 0 for none. `local_only`: the
    request never leaves this machine. `publish_period`: text of this period is joined into one event [s].
    `wants_sentences`: events also have whole sentences for speech output. `audience`: requests with the same name, ''
    for none, are answered one after the other, because one listener hears all of them. `preempts`: False for a request
    that ends no other one, even with the busy policy 'preempt'.

    Raises InvalidParameterError for a request that no model can answer.
    """

    prompt: str = ''
    images: Sequence[ImageSource] = ()
    messages: Sequence[Mapping[str, Any]] = ()
    raw_prompt: str | Sequence[int] = ''
    system_prompt: str = ''
    default_system_prompt: str = ''
    conversation_id: str = ''
    params: SamplingParams = field(default_factory=SamplingParams)
    tools: ToolUse = NO_TOOLS
    thinking: bool | None = None
    priority: int = 0
    time_limit: float = 0.0
    local_only: bool = False
    publish_period: float = 0.0
    wants_sentences: bool = False
    audience: str = ''
    preempts: bool = True

    def __post_init__(self) -> None:
        """Check every field."""
        self._check_sizes()
        if self.conversation_id and any(message.get('role') != 'tool' for message in self.messages):
            raise InvalidParameterError('a conversation takes a prompt, or messages of role tool with the results of '
                                        'the last calls: it keeps the turns itself')
        if not (math.isfinite(self.time_limit) and self.time_limit >= 0):
            raise InvalidParameterError(f'time_limit must not be negative, not {self.time_limit} s')
        if self.raw_prompt:
            if (self.prompt or self.images or self.messages or self.system_prompt or self.conversation_id or
                    self.tools.tools or self.thinking is not None):
                raise InvalidParameterError('a raw prompt stands alone')
        elif bool(self.prompt.strip()) == bool(self.messages):
            raise InvalidParameterError('give either a prompt or messages' +
                                        (', not both' if self.messages else '; both are empty'))
        if self.images and self.messages:
            raise InvalidParameterError('images: with messages, each belongs to one of them')
        for i, message in enumerate(self.messages):
            checked_message(message, f'messages[{i}]')
        if self._has_system_message and self.system_prompt:
            raise InvalidParameterError('give system_prompt or a system message, not both')

    @property
    def is_continued(self) -> bool:
        """Whether the prompt ends with the beginning of the answer."""
        return bool(self.raw_prompt) or (bool(self.messages) and self.messages[-1]['role'] == 'assistant')

    @property
    def dialogue(self) -> list[Mapping[str, Any]]:
        """The messages of a request without a conversation, system prompt included."""
        images = {'images': [*self.images]} if self.images else {}
        messages = [*self.messages] or [{'role': 'user', 'content': self.prompt, **images}]
        system = '' if self._has_system_message else self.system_prompt or self.default_system_prompt
        return [{'role': 'system', 'content': system}, *messages] if system else messages

    @property
    def exclusive(self) -> frozenset[str]:
        """Names that no two running requests may share: a conversation has one question at a time."""
        names = {'conversation': self.conversation_id, 'audience': self.audience}
        return frozenset(f'{kind} {name}' for kind, name in names.items() if name)

    @property
    def all_images(self) -> list[ImageSource]:
        """The images of the prompt, or of all messages."""
        return [*self.images, *(image for message in self.messages for image in message.get('images') or ())]

    @property
    def _has_system_message(self) -> bool:
        return bool(self.messages) and self.messages[0]['role'] == 'system'

    def _check_sizes(self) -> None:
        texts = len(self.prompt) + len(self.raw_prompt) + len(self.system_prompt)
        texts += sum(map(len, texts_of(self.messages)))
        stop = self.params.stop
        for name, size, most, unit in (
                ('messages', len(self.messages), MAX_MESSAGES, 'messages'),
                ('images', len(self.all_images), MAX_IMAGES, 'images'),
                ('the texts of prompt, system_prompt and messages', texts, MAX_CHARACTERS, 'characters'),
                ('conversation_id', len(self.conversation_id), MAX_ID_CHARACTERS, 'characters'),
                ('stop', len(stop), MAX_STOPS, 'texts'),
                ('a text of stop', max(map(len, stop), default=0), MAX_STOP_CHARACTERS, 'characters')):
            check_amount(name, size, most, unit)


@dataclass(frozen=True, kw_only=True)
class DecisionRequest:
    """
    A question, and the options that may answer it; nothing is generated.

    `question`: its prompt, priority and time limit count, its parameters of an answer do not. `options`: none is '', no
    two are equal. `normalize_length`: the score of an option is divided by its number of tokens, so that longer options
    are not less likely for their length alone.

    Raises InvalidParameterError for a request that no model can answer.
    """

    question: ChatRequest
    options: Sequence[str] = YES_OR_NO
    normalize_length: bool = False
    publish_period: ClassVar[float] = 0.0
    preempts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check every field."""
        options = self.options
        if not 2 <= len(options) <= MAX_OPTIONS:
            raise InvalidParameterError(f'options: give 2 .. {MAX_OPTIONS}, not {len(options)}')
        for i, option in enumerate(options):
            if not 1 <= len(option) <= MAX_OPTION_CHARACTERS:
                raise InvalidParameterError(f'options[{i}]: must have 1 .. {MAX_OPTION_CHARACTERS} characters, not '
                                            f'{len(option)}')
        if len({*options}) < len(options):
            twice = next(option for i, option in enumerate(options) if option in options[:i])
            raise InvalidParameterError(f'options: {shown(twice)} is there twice')
        if self.question.tools.tools:
            raise InvalidParameterError('tools: a decision calls none')

    @property
    def priority(self) -> int:
        """As in ChatRequest."""
        return self.question.priority

    @property
    def exclusive(self) -> frozenset[str]:
        """As in ChatRequest."""
        return self.question.exclusive

    @property
    def time_limit(self) -> float:
        """As in ChatRequest."""
        return self.question.time_limit


@dataclass(frozen=True, kw_only=True)
class EmbeddingRequest:
    """
    Texts to turn into vectors. `normalize`: each vector has length 1.

    `truncates`: of a text that is longer than the context, only the beginning counts; otherwise it is refused.
    `priority`, `time_limit`: as in ChatRequest. Raises InvalidParameterError for a request that no model can answer.
    """

    texts: Sequence[str]
    normalize: bool = True
    truncates: bool = False
    priority: int = 0
    time_limit: float = 0.0
    publish_period: ClassVar[float] = 0.0
    preempts: ClassVar[bool] = True
    exclusive: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Check every field."""
        if not 1 <= len(self.texts) <= MAX_TEXTS:
            raise InvalidParameterError(f'texts: give 1 .. {MAX_TEXTS}, not {len(self.texts)}')
        if '' in self.texts:
            raise InvalidParameterError(f'texts[{[*self.texts].index("")}]: must not be empty')
        characters = sum(map(len, self.texts))
        if characters > MAX_CHARACTERS:
            raise InvalidParameterError(f'texts: {characters} characters, more than the limit of {MAX_CHARACTERS}')


Request = ChatRequest | DecisionRequest | EmbeddingRequest
