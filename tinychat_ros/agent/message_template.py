# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A message, a request or a goal that is the same for each call, except for the fields that the model sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinychat_core.errors import InvalidParameterError
from tinychat_ros.agent.fields import Sequence, Structure
from tinychat_ros.agent.ros_types import type_name
from tinychat_ros.agent.tools_file import FieldSpec

TIME = 'builtin_interfaces/msg/Time'
NOW = 'now'  # the value of a time in `defaults` that is read from the node's clock for each message


class MessageTemplate:
    """Makes messages of one type: the type's values, then those of the tools file, then those of the model."""

    def __init__(self, cls: Any, fields: Mapping[str, FieldSpec], defaults: Mapping[str, Any],
                 defaults_place: str = 'defaults') -> None:
        """Take the message's class. Raises InvalidParameterError for what does not fit it."""
        self.fields = Structure(cls, fields, 'fields')
        self._cls = cls
        self._all = Structure(cls, None, defaults_place, is_model=False)
        self._stamps: list[tuple[str, ...]] = []
        self._defaults = self._without_stamps(self._all, defaults, ())
        self._all.set(cls(), self._defaults, defaults_place)
        _refuse_twice(self.fields, defaults, '')

    def message(self, values: Any, now: Any) -> Any:
        """
        Return a message with the values of the model; `now`: a builtin_interfaces Time.

        Raises InvalidParameterError for a value that is not allowed.
        """
        message = self._cls()
        self._all.set(message, self._defaults, 'defaults')
        self.fields.set(message, values)
        for *path, last in self._stamps:
            part = message
            for name in path:
                part = getattr(part, name)
            setattr(part, last, now)
        return message

    def _without_stamps(self, structure: Structure, values: Any, path: tuple[str, ...]) -> Any:
        """Return the values without the times that are NOW, and remember those."""
        if not isinstance(values, Mapping):
            return values
        kept = {}
        for name, value in values.items():
            shape = structure.shapes.get(name)
            if isinstance(shape, Structure):
                if value == NOW and type_name(shape.cls) == TIME:
                    self._stamps.append((*path, name))
                    continue
                value = self._without_stamps(shape, value, (*path, name))
            kept[name] = value
        return kept


def _refuse_twice(fields: Structure, defaults: Mapping[str, Any], place: str) -> None:
    """Raise InvalidParameterError for a field that both the model and the file set."""
    for name, shape in fields.shapes.items():
        if name not in defaults:
            continue
        within = f'{place}.{name}' if place else name
        if isinstance(shape, Structure) and isinstance(defaults[name], Mapping):
            _refuse_twice(shape, defaults[name], within)
        else:
            what = 'give the default of an array in its field' if isinstance(shape, Sequence) else \
                'the default of a field that the model may set belongs to that field'
            raise InvalidParameterError(f'{within} is in fields and in defaults; {what}')
