# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of a dialogue: which fields each role has, and the texts in them."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tinychat_core.errors import InvalidParameterError, shown

ROLES = ('system', 'user', 'assistant', 'tool')


def checked_message(message: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a message with the fields that its role has; InvalidParameterError, with `place`, for what is none."""
    role, content = message.get('role'), message.get('content')
    if role not in ROLES:
        raise InvalidParameterError(f"a message's role must be one of {', '.join(ROLES)}, not {shown(role)}")
    if not isinstance(content, str):
        raise InvalidParameterError(f"a message's content must be a string, not {shown(content)}")
    checked: dict[str, Any] = {'role': role, 'content': content}
    if message.get('images'):
        if role != 'user':
            raise InvalidParameterError(f"{place}.images: only a message of role 'user' has images, not of '{role}'")
        checked['images'] = [*message['images']]
    for name, owner in (('thoughts', 'assistant'), ('tool_calls', 'assistant'), ('tool_call_id', 'tool')):
        if not message.get(name):
            continue
        if role != owner:
            raise InvalidParameterError(f"{place}.{name}: only a message of role '{owner}' has it, not of '{role}'")
        if name != 'tool_calls' and not isinstance(message[name], str):
            raise InvalidParameterError(f'{place}.{name}: must be a text, not {shown(message[name])}')
        checked[name] = message[name]
    if 'tool_calls' in checked:
        checked['tool_calls'] = [_checked_call(call, f'{place}.tool_calls[{i}]')
                                 for i, call in enumerate(checked['tool_calls'])]
    return checked


def _checked_call(call: Any, place: str) -> dict[str, str]:
    for name in ('id', 'name', 'arguments'):
        if not isinstance(call, Mapping) or not isinstance(call.get(name), str):
            raise InvalidParameterError(f'{place}.{name}: must be a text')
    return {name: call[name] for name in ('id', 'name', 'arguments')}


def texts_in(value: Any) -> Iterator[str]:
    """Yield each text in JSON, names of properties included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from texts_in(item)


def texts_of(messages: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield each text in messages, without the names of their fields."""
    return texts_in([[*message.values()] for message in messages])


def mapped_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return JSON with each text in it changed, names of properties included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(name): mapped_texts(item, change) for name, item in value.items()}
    return [mapped_texts(item, change) for item in value] if isinstance(value, Sequence) else value
