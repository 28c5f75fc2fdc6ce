# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Converts a ROS message to JSON of limited size for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import math
from typing import Any

import msgspec

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_ros.agent.ros_types import members, type_name

MOST_ITEMS = 32  # of an array
MOST_CHARACTERS = 1000  # of a text
MOST_BYTES = 8000  # of the whole


def check_paths(cls: Any, paths: Sequence[str]) -> None:
    """Raise InvalidParameterError if a message's class does not have one of these fields, such as pose.position.x."""
    for path in paths:
        part = cls()
        for name in path.split('.'):
            if not hasattr(part, 'get_fields_and_field_types') or name not in members(type(part)):
                known = ', '.join(members(type(part))) if hasattr(part, 'SLOT_TYPES') else ''
                raise InvalidParameterError(f'result: {type_name(cls)} has no field {shown(path)}' +
                                            (f'; {name} is none of {known}' if known else ''))
            part = getattr(part, name)


def message_data(message: Any, paths: Sequence[str] | None = None) -> Any:
    """
    Return a message as JSON values; `paths`: only these fields.

    Numbers have six significant digits, infinities and NaN are texts, and long arrays and texts are cut and say so.
    """
    if paths is None:
        return _value(message)
    data: dict[str, Any] = {}
    for path in paths:
        *outer, last = path.split('.')
        place, part = data, message
        for name in outer:
            place, part = place.setdefault(name, {}), getattr(part, name)
        place[last] = _value(getattr(part, last))
    return data


def as_json(data: Mapping[str, Any]) -> str:
    """Return the text of a tool's result, on one line; if it is too long, its beginning as a text in JSON."""
    text = msgspec.json.encode(data)
    if len(text) > MOST_BYTES:
        text = msgspec.json.encode({**{name: data[name] for name in ('ok', 'error') if name in data},
                                    'cut': text[:MOST_BYTES].decode(errors='ignore') + '…'})
    return text.decode()


def _value(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        return value if not isinstance(value, str) or len(value) <= MOST_CHARACTERS else \
            f'{value[:MOST_CHARACTERS]}… ({len(value)} characters)'
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return float(f'{value:.6g}') if math.isfinite(value) else str(value)
    if isinstance(value, bytes):  # an octet
        return value[0] if len(value) == 1 else [*value]
    if hasattr(value, 'get_fields_and_field_types'):
        return {name: _value(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if hasattr(value, 'dtype') and not hasattr(value, '__len__'):
        return _value(value.item())
    items = [_value(item.item() if hasattr(item, 'dtype') else item) for item in value[:MOST_ITEMS]]
    return items if len(value) <= MOST_ITEMS else [*items, f'… {len(value)} in all']
