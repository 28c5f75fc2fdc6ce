# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""From a goal to what the engine takes, with the node's parameters for what it leaves open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math
from typing import Any

import numpy as np

from tinychat_core.errors import InvalidParameterError, shown, TinyChatError
from tinychat_core.sampling import SamplingParams
from tinychat_ros.interfaces import Chat
from tinychat_ros.unserved import unserved_field

# Each a field of the goal's sampling and a parameter of the node.
NAMES = ('temperature', 'top_k', 'top_p', 'min_p', 'repetition_penalty', 'dry_multiplier', 'dry_base',
         'dry_allowed_length', 'dry_penalty_last_n', 'seed')
ROLES = ('system', 'user', 'assistant')

# What a goal may bring. What the context has no room for is refused later, with an error code; these keep what is no
# prompt of any model out of the queue.
MOST_CHARACTERS = 2**23  # of a goal's texts together
MOST_MESSAGES = 10_000
MOST_ID = 256  # characters of conversation_id
MOST_STOPS = 64
MOST_STOP = 1024  # characters of a stop text


class Rejection(TinyChatError):
    """Why a goal cannot be served."""


@dataclass(frozen=True)
class Request:
    """A goal that has passed all cheap checks."""

    messages: list[dict[str, str]]
    has_own_system_prompt: bool
    params: SamplingParams
    priority: int
    time_limit: float  # [s], 0: none
    publish_period: float  # [s]
    conversation_id: str  # '': no memory

    @property
    def system_prompt(self) -> str:
        """The first message, where that is a system prompt, or ''."""
        first = self.messages[0]
        return first['content'] if first['role'] == 'system' else ''


def check_goal(goal: Chat.Goal, parameter: Callable[[str], Any], context_length: int) -> Request:
    """
    Return what to generate; Rejection with the reason for what is impossible.

    `parameter` gives the value of a node parameter by name. What only the tokenizer or the template can tell
    is not looked at.
    """
    _check_sizes(goal)
    reason = unserved_field(goal)
    if reason:
        raise Rejection(f'[invalid goal] {reason}')
    if goal.conversation_id and goal.messages:
        raise Rejection('[invalid goal] a conversation takes a prompt, not messages: it keeps the turns itself')
    limit = parameter('max_new_tokens') if goal.max_new_tokens == -1 else goal.max_new_tokens
    if goal.max_new_tokens != -1 and not 1 <= goal.max_new_tokens <= context_length:
        raise Rejection(f'[invalid goal] max_new_tokens must be 1 .. {context_length}, or -1 for the '
                        f'parameter, not {goal.max_new_tokens}')
    sampling = {name: _sampling(goal, name, parameter) for name in
                NAMES}
    sampling['seed'] = None if sampling['seed'] == -1 else sampling['seed']
    try:
        params = SamplingParams(max_new_tokens=min(limit, context_length), stop=tuple(goal.stop),
                                json_schema=goal.json_schema, regex=goal.regex, **sampling)
    except InvalidParameterError as error:
        raise Rejection(f'[invalid goal] {error}') from None
    time_limit = goal.time_limit.sec + goal.time_limit.nanosec * 1e-9
    if time_limit < 0:
        raise Rejection(f'[invalid goal] time_limit must not be negative, not {time_limit} s')
    return Request(_messages(goal, parameter('system_prompt')), bool(goal.system_prompt), params, goal.priority,
                   time_limit or parameter('time_limit'), parameter('publish_period'), goal.conversation_id)


def _check_sizes(goal: Chat.Goal) -> None:
    texts = len(goal.prompt) + len(goal.system_prompt) + sum(len(m.role) + len(m.content) for m in goal.messages)
    for name, size, most, unit in (
            ('messages', len(goal.messages), MOST_MESSAGES, 'messages'),
            ('the texts of prompt, system_prompt and messages', texts, MOST_CHARACTERS, 'characters'),
            ('conversation_id', len(goal.conversation_id), MOST_ID, 'characters'),
            ('stop', len(goal.stop), MOST_STOPS, 'texts'),
            ('a text of stop', max(map(len, goal.stop), default=0), MOST_STOP, 'characters')):
        if size > most:
            raise Rejection(f'[invalid goal] {name}: {size} {unit}, more than the {most} that are taken')


def _messages(goal: Chat.Goal, default_system: str) -> list[dict[str, str]]:
    if bool(goal.prompt.strip()) == bool(goal.messages):
        raise Rejection('[invalid goal] give either a prompt or messages' +
                        (', not both' if goal.messages else '; both are empty'))
    messages = [{'role': m.role, 'content': m.content} for m in goal.messages]
    for message in messages:
        if message['role'] not in ROLES:
            raise Rejection(f"[invalid goal] a message's role must be one of {', '.join(ROLES)}, "
                            f"not {shown(message['role'])}")
    if not messages:
        messages = [{'role': 'user', 'content': goal.prompt}]
    has_system = messages[0]['role'] == 'system'
    if has_system and goal.system_prompt:
        raise Rejection('[invalid goal] give system_prompt or a system message, not both')
    system = goal.system_prompt or ('' if has_system else default_system)
    return [{'role': 'system', 'content': system}, *messages] if system else messages


def _sampling(goal: Chat.Goal, name: str, parameter: Callable[[str], Any]) -> Any:
    # A message's float32 in the digits that were written: 0.01 is not a little less.
    value = getattr(goal.sampling, name)
    if isinstance(value, float):
        value = float(str(np.float32(value)))
    if value == -1:
        return parameter(f'sampling.{name}')
    if not math.isfinite(value) or value < 0:
        raise Rejection(f'[invalid goal] sampling.{name} must be a number from 0, or -1 for the parameter, '
                        f'not {value}')
    # What was written as 0.01 comes as the float32 below it.
    return float(f'{value:.7g}') if isinstance(value, float) else value
