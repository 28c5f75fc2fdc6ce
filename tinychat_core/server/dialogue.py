# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Converts the messages of a client to those of the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.server.errors import ApiError, not_served
from tinychat_core.server.openai_schema import Message, Part
from tinychat_core.text.messages import ROLES
from tinychat_core.vision.sources import data_url, ImageSource

_TEXTS = ('text', 'input_text', 'output_text', 'refusal')
_IMAGES = ('image_url', 'input_image')
_ROLES = {'developer': 'system'}  # OpenAI's newer name


def dialogue(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages for a ChatRequest; ApiError with the place of the error."""
    if not messages:
        raise ApiError(400, 'messages: there must be at least one', 'messages', 'invalid_value')
    told, called = [], set()
    for i, message in enumerate(messages):
        place = f'messages[{i}]'
        told.append(_message(message, place))
        called |= {call.id for call in message.tool_calls or ()}
        if message.role == 'tool' and message.tool_call_id not in called:
            _refuse(f'{place}.tool_call_id', f'no call before has the id {shown(message.tool_call_id or "")}')
    return told


def _message(message: Message, place: str) -> dict[str, Any]:
    role = _ROLES.get(message.role, message.role)
    if role == 'function' or message.function_call:
        raise not_served(f'{place}.role', f'{place}.role: functions are not served; use tools')
    if role not in ROLES:
        _refuse(f'{place}.role', f'must be {", ".join(ROLES)} or developer, not {shown(message.role)}')
    told: dict[str, Any] = {'role': role, 'content': _text(message.content, f'{place}.content')}
    if images := _images(message.content, f'{place}.content'):
        if role != 'user':
            _refuse(f'{place}.content', f"only a message of role 'user' has images, not of '{role}'")
        told['images'] = images
    if message.reasoning_content:
        told['thoughts'] = message.reasoning_content
    if message.tool_call_id:
        told['tool_call_id'] = message.tool_call_id
    if message.tool_calls:
        told['tool_calls'] = [{'id': call.id, 'name': call.function.name, 'arguments': call.function.arguments}
                              for call in message.tool_calls]
    return told


def _text(content: str | Sequence[Part] | None, place: str) -> str:
    """Return the text of a content; its parts are joined with line breaks."""
    if content is None or isinstance(content, str):
        return content or ''
    for i, part in enumerate(content):
        if part.type not in (*_TEXTS, *_IMAGES):
            field = f'{place}[{i}].type'
            raise not_served(field, f'{field}: only text and images are served, not {shown(part.type)}')
    return '\n'.join(part.text or '' for part in content if part.type in _TEXTS)


def _images(content: str | Sequence[Part] | None, place: str) -> list[ImageSource]:
    """Return the images of a content, which the model sees before its text."""
    images: list[ImageSource] = []
    for i, part in enumerate(content if isinstance(content, list) else ()):
        if part.type not in _IMAGES:
            continue
        field, given = f'{place}[{i}].image_url', part.image_url
        if given is None:
            _refuse(field, 'it is missing')
        try:
            images.append(data_url(given if isinstance(given, str) else given.url, field))
        except InvalidParameterError as error:
            raise ApiError(400, str(error), field, 'invalid_value') from None
    return images


def _refuse(field: str, reason: str) -> NoReturn:
    raise ApiError(400, f'{field}: {reason}', field, 'invalid_value')
