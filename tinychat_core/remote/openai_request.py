# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A request as the body of OpenAI's streaming chat completions; what that cannot express is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
import secrets
from typing import Any

from tinychat_core.remote.outcomes import Unable
from tinychat_core.remote.shared_image import SharedImage
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.text.tool_calls.tools import ToolUse

_MAX_SEED = 2**31 - 1  # of a fresh seed: some servers keep it in 32 bits


def unable_reason(request: ChatRequest, sees: bool = False) -> str:
    """
    Return why no OpenAI-compatible server can answer a request; '' if one can. `sees`: its model accepts images.

    The images of a conversation stay on this machine: its turns only keep the embeddings of the local model.
    """
    if request.raw_prompt:
        return 'a prompt without the chat template'
    if request.params.regex:
        return 'a regular expression'
    if request.all_images and not sees:
        return 'images'
    if request.all_images and request.conversation_id:
        return 'images in a conversation'
    if request.is_continued:
        return 'an answer that has begun'
    if request.params.logit_bias:
        return 'logit_bias, because its token ids are those of the local model'
    if request.params.top_logprobs is not None:
        return 'log probabilities, because the API does not return token ids'
    return ''


def ignored_sampling(request: ChatRequest) -> str:
    """Return the sampling parameter that is set and has no counterpart in OpenAI-compatible servers; '' for none."""
    params = request.params
    is_structured = bool(params.json_schema)  # DRY is off there anyway
    return 'dry_multiplier' if params.dry_multiplier and not is_structured else ''


def body_of(request: ChatRequest, dialogue: Sequence[Mapping[str, Any]], model: str, sees: bool = False
            ) -> dict[str, Any]:
    """
    Return the body for /chat/completions; `dialogue`: all messages, the system prompt included.

    `sees`: the model on the server accepts images. Images are SharedImages that are loaded.

    `top_k`, `min_p`, `repetition_penalty` and `chat_template_kwargs` are extensions that vLLM, SGLang, llama.cpp and
    TinyChat know; they are sent only if they have an effect. A seed is always sent, so that the result can name it.
    Raises Unable.
    """
    images = [image for message in dialogue for image in message.get('images') or ()]
    are_ready = all(isinstance(image, SharedImage) and image.url for image in images)
    reason = unable_reason(request, sees) or ('images' if images and not (sees and are_ready) else '')
    if reason:
        raise Unable(f'cannot serve {reason}')
    params = request.params
    body: dict[str, Any] = {
        'model': model, 'messages': [_message(message) for message in dialogue],
        'stream': True, 'stream_options': {'include_usage': True},
        'max_tokens': params.max_new_tokens, 'temperature': params.temperature, 'top_p': params.top_p,
        'seed': secrets.randbelow(_MAX_SEED + 1) if params.seed is None else params.seed}
    if params.temperature:
        if params.top_k:
            body['top_k'] = params.top_k
        if params.min_p:
            body['min_p'] = params.min_p
    if params.repetition_penalty != 1.0:
        body['repetition_penalty'] = params.repetition_penalty
    if params.frequency_penalty:
        body['frequency_penalty'] = params.frequency_penalty
    if params.presence_penalty:
        body['presence_penalty'] = params.presence_penalty
    if params.stop:
        body['stop'] = [*params.stop]
    if params.json_schema:
        schema = {'name': 'answer', 'strict': True, 'schema': json.loads(params.json_schema)}
        body['response_format'] = {'type': 'json_schema', 'json_schema': schema}
    if request.thinking is not None:
        body['chat_template_kwargs'] = {'enable_thinking': request.thinking}
    return {**body, **_tools(request.tools)}


def _tools(use: ToolUse) -> dict[str, Any]:
    if not use.tools:
        return {}
    choice: Any = use.choice
    if choice not in ('auto', 'none', 'required'):
        choice = {'type': 'function', 'function': {'name': choice}}
    return {'tools': [tool.definition for tool in use.tools], 'tool_choice': choice,
            'parallel_tool_calls': use.parallel}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {'role': message['role'], 'content': message['content']}
    if message.get('images'):
        told['content'] = [*({'type': 'image_url', 'image_url': {'url': image.url}} for image in message['images']),
                           {'type': 'text', 'text': message['content']}]
    if message.get('thoughts'):
        told['reasoning_content'] = message['thoughts']
    if message.get('tool_call_id'):
        told['tool_call_id'] = message['tool_call_id']
    if message.get('tool_calls'):
        told['tool_calls'] = [{'id': call['id'], 'type': 'function', 'function': {
            'name': call['name'], 'arguments': call['arguments'] or '{}'}} for call in message['tool_calls']]
    return told
