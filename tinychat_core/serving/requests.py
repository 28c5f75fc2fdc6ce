# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Requests, as every door submits them. Their fields are checked here, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
import math
from typing import Any

from tinychat_core.errors import InvalidParameterError, TinyChatError
from tinychat_core.sampling import SamplingParams
from tinychat_core.text.messages import checked_message, texts_of
from tinychat_core.text.tool_calls.tools import NO_TOOLS, ToolUse

# A prompt that exceeds the context is accepted and then aborted with an error code. These limits refuse prompts that no
# model could read.
MAX_CHARACTERS = 2**23  # of all texts together
MAX_MESSAGES = 10_000
MAX_ID_CHARACTERS = 256  # of conversation_id
MAX_STOPS = 64
MAX_STOP_CHARACTERS = 1024


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


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """
    A prompt, or a whole dialogue, and how to answer it.

    Give exactly one of `prompt` (the user's next turn), `messages` (as for Tokenizer.encode_chat; if the last message
    is the assistant's, the model continues it) and `raw_prompt` (a text, or its tokens, that the model continues
    without the chat template). `system_prompt`: if it is '', `default_system_prompt` applies, except in a conversation
    that already has turns. `conversation_id`: the turns are kept under this name, '' for none; only with `prompt`.
    `tools`: functions that the answer may call; not in a conversation, which keeps only text. `thinking`: whether the
    model thinks first; None: the default of its chat template. `priority`: higher runs first. `time_limit`: from
    acceptance to the end, waiting included [s]; 0 for none. `local_only`: the request never leaves this machine.
    `publish_period`: text of this period is joined into one
    event [s]. `wants_sentences`: events also have whole sentences for speech output.

    Raises InvalidParameterError for a request that no model can answer.
    """

    prompt: str = ''
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

    def __post_init__(self) -> None:
        """Check every field."""
        self._check_sizes()
        if self.conversation_id and self.messages:
            raise InvalidParameterError('a conversation takes a prompt, not messages: it keeps the turns itself')
        if not (math.isfinite(self.time_limit) and self.time_limit >= 0):
            raise InvalidParameterError(f'time_limit must not be negative, not {self.time_limit} s')
        if self.raw_prompt:
            if (self.prompt or self.messages or self.system_prompt or self.conversation_id or self.tools.tools or
                    self.thinking is not None):
                raise InvalidParameterError('a raw prompt stands alone')
        elif bool(self.prompt.strip()) == bool(self.messages):
            raise InvalidParameterError('give either a prompt or messages' +
                                        (', not both' if self.messages else '; both are empty'))
        if self.conversation_id and self.tools.tools:
            raise InvalidParameterError('tools: a conversation keeps texts alone; give the dialogue as messages, with '
                                        'the calls and their results')
        for i, message in enumerate(self.messages):
            checked_message(message, f'messages[{i}]')
        if self._has_system_message and self.system_prompt:
            raise InvalidParameterError('give system_prompt or a system message, not both')

    @property
    def dialogue(self) -> list[Mapping[str, Any]]:
        """The messages of a request without a conversation, system prompt included."""
        messages = [*self.messages] or [{'role': 'user', 'content': self.prompt}]
        system = '' if self._has_system_message else self.system_prompt or self.default_system_prompt
        return [{'role': 'system', 'content': system}, *messages] if system else messages

    @property
    def _has_system_message(self) -> bool:
        return bool(self.messages) and self.messages[0]['role'] == 'system'

    def _check_sizes(self) -> None:
        texts = len(self.prompt) + len(self.raw_prompt) + len(self.system_prompt)
        texts += sum(map(len, texts_of(self.messages)))
        stop = self.params.stop
        for name, size, most, unit in (
                ('messages', len(self.messages), MAX_MESSAGES, 'messages'),
                ('the texts of prompt, system_prompt and messages', texts, MAX_CHARACTERS, 'characters'),
                ('conversation_id', len(self.conversation_id), MAX_ID_CHARACTERS, 'characters'),
                ('stop', len(stop), MAX_STOPS, 'texts'),
                ('a text of stop', max(map(len, stop), default=0), MAX_STOP_CHARACTERS, 'characters')):
            if size > most:
                raise InvalidParameterError(f'{name}: {size} {unit}, more than the limit of {most}')
