# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""From a goal to a request of the core, with the node's parameters for what it leaves open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import math
from typing import Any

import numpy as np

from tinychat_core.errors import InvalidParameterError
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.text.tool_calls.tools import tool_use
from tinychat_ros.image_sources import images_of, ImageTopics, with_images
from tinychat_ros.interfaces import Chat
from tinychat_ros.translation import dialogue_of
from tinychat_ros.unserved import unserved_field

# Each a field of the goal's sampling and a parameter of the node.
NAMES = ('temperature', 'top_k', 'top_p', 'min_p', 'repetition_penalty', 'dry_multiplier', 'dry_base',
         'dry_allowed_length', 'dry_penalty_last_n', 'seed')

THINKING = {Chat.Goal.THINKING_DEFAULT: None, Chat.Goal.THINKING_ON: True, Chat.Goal.THINKING_OFF: False}


def check_goal(goal: Chat.Goal, parameter: Callable[[str], Any], context_length: int,
               topics: ImageTopics, audience: str = '') -> ChatRequest:
    """
    Convert a goal to a ChatRequest. Raises InvalidParameterError with the reason if the goal is invalid.

    `parameter` gives the value of a node parameter by name; `topics` takes frames of image_topics. `audience`:
    as in ChatRequest; by default, all answers that are spoken have the same one. Errors that only
    the tokenizer, the template or an image's bytes can show are not checked here.
    """
    reason = unserved_field(goal)
    if reason:
        raise InvalidParameterError(reason)
    if goal.max_new_tokens != -1 and not 1 <= goal.max_new_tokens <= context_length:
        raise InvalidParameterError(f'max_new_tokens must be 1 .. {context_length}, or -1 for the parameter, '
                                    f'not {goal.max_new_tokens}')
    limit = parameter('max_new_tokens') if goal.max_new_tokens == -1 else goal.max_new_tokens
    sampling = {name: _sampling(goal, name, parameter) for name in NAMES}
    params = sampling_params(sampling, limit, context_length, stop=tuple(goal.stop), json_schema=goal.json_schema,
                             regex=goal.regex, top_logprobs=goal.top_logprobs or None)
    if goal.thinking not in THINKING:
        raise InvalidParameterError(f'thinking must be one of {", ".join(map(str, THINKING))}, not {goal.thinking}')
    # JSON is not spoken.
    wants_sentences = bool(parameter('sentence_topic')) and not goal.json_schema
    images, dialogue = images_of(goal, topics), dialogue_of(goal.messages)
    if dialogue:
        with_images(goal.messages, dialogue, images)
    time_limit = goal.time_limit.sec + goal.time_limit.nanosec * 1e-9
    return ChatRequest(
        prompt=goal.prompt, images=() if dialogue else images, messages=dialogue,
        system_prompt=goal.system_prompt, default_system_prompt=parameter('system_prompt'),
        conversation_id=goal.conversation_id, params=params, priority=goal.priority,
        tools=tool_use(goal.tools, goal.tool_choice, goal.parallel_tool_calls), thinking=THINKING[goal.thinking],
        time_limit=time_limit or parameter('time_limit'), local_only=goal.local_only,
        publish_period=parameter('publish_period'), wants_sentences=wants_sentences,
        audience=audience or ('person' if wants_sentences else ''))


def sampling_params(sampling: Mapping[str, Any], max_new_tokens: int, context_length: int,
                    **others: Any) -> SamplingParams:
    """Return how to sample; `sampling`: a value for each of NAMES, the seed -1 for a new one each time."""
    seed = None if sampling['seed'] == -1 else sampling['seed']
    return SamplingParams(max_new_tokens=min(max_new_tokens, context_length), **{**sampling, 'seed': seed}, **others)


def _sampling(goal: Chat.Goal, name: str, parameter: Callable[[str], Any]) -> Any:
    # A message's float32 in the digits that were written: 0.01 is not a little less.
    value = getattr(goal.sampling, name)
    if isinstance(value, float):
        value = float(str(np.float32(value)))
    if value == -1:
        return parameter(f'sampling.{name}')
    if not math.isfinite(value) or value < 0:
        raise InvalidParameterError(f'sampling.{name} must be a number of at least 0, or -1 for the parameter, '
                                    f'not {value}')
    return value
