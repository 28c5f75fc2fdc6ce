# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The messages of a dialogue, from a client's words to those of the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinychat_core.errors import shown
from tinychat_core.server.errors import ApiError, not_served
from tinychat_core.server.openai_schema import Message, Part
from tinychat_core.text.messages import ROLES

_ROLES = {'developer': 'system'}  # OpenAI's newer name


def dialogue(messages: Sequence[Message]) -> list[Mapping[str, str]]:
    """Return {'role', 'content'} of each message; ApiError with the place of what is wrong."""
    if not messages:
        raise ApiError(400, 'messages: there must be at least one', 'messages', 'invalid_value')
    return [_message(message, f'messages[{i}]') for i, message in enumerate(messages)]


def _message(message: Message, place: str) -> Mapping[str, str]:
    role = _ROLES.get(message.role, message.role)
    if role in ('tool', 'function') or message.tool_calls or message.function_call or message.tool_call_id:
        field = f'{place}.role' if role in ('tool', 'function') else f'{place}.tool_calls'
        raise not_served(field, f'{field}: tool calls are not served')
    if role not in ROLES:
        raise ApiError(400, f'{place}.role: must be {", ".join(ROLES)} or developer, not {shown(message.role)}',
                       f'{place}.role', 'invalid_value')
    return {'role': role, 'content': _text(message.content, f'{place}.content')}


def _text(content: str | Sequence[Part] | None, place: str) -> str:
    """Return the text of a content; its parts are lines of their own."""
    if content is None or isinstance(content, str):
        return content or ''
    for i, part in enumerate(content):
        if part.type not in ('text', 'input_text', 'output_text', 'refusal'):
            field = f'{place}[{i}].type'
            raise not_served(field, f'{field}: only text is served, not {shown(part.type)}')
    return '\n'.join(part.text or '' for part in content)
