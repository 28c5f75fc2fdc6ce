# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A tool of the file with its ROS type: its definition for the model, and the check of a call."""

from __future__ import annotations

import json
from typing import Any

from builtin_interfaces.msg import Time

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_ros.agent.message_data import check_paths
from tinychat_ros.agent.message_template import MessageTemplate
from tinychat_ros.agent.ros_types import check_name, find_type
from tinychat_ros.agent.tools_file import DurationSpec, ExampleSpec, read_tools_file, ToolSpec

MOST_ARGUMENTS = 10_000  # characters of the arguments of a call


class Tool:
    """
    One tool. `cls` is the class of its service, action or message.

    `sent` makes the request, goal or message that is sent; `stop` makes the stop message after a duration.
    """

    def __init__(self, spec: ToolSpec) -> None:
        """Take a tool of the file. Raises InvalidParameterError for a type that does not exist or does not fit."""
        self.spec = spec
        self.name = spec.name
        self.cls = find_type(spec.type, spec.kind)
        check_name(spec.kind, spec.interface)
        sent = {'service': 'Request', 'action': 'Goal'}.get(spec.kind)
        self.sent = MessageTemplate(getattr(self.cls, sent) if sent else self.cls, spec.fields, spec.defaults)
        self.stop = None if spec.duration is None else MessageTemplate(self.cls, {}, spec.stop or {}, 'stop')
        returned = {'service': 'Response', 'action': 'Result'}.get(spec.kind)
        if spec.result is not None:
            check_paths(getattr(self.cls, returned) if returned else self.cls, spec.result)

    def definition(self) -> dict[str, Any]:
        """Return an item of OpenAI's `tools`."""
        schema = self.sent.fields.schema()
        if isinstance(self.spec.duration, DurationSpec):
            limits = self.spec.duration
            schema['properties']['duration'] = {'description': limits.description, 'type': 'number',
                                                'minimum': limits.minimum, 'maximum': limits.maximum}
            schema['required'].append('duration')
        return {'type': 'function', 'function': {'name': self.name, 'description': self.spec.description,
                                                 'parameters': schema}}

    def read(self, arguments: str, now: Any) -> tuple[dict[str, Any], float]:
        """
        Return the checked arguments of a call, without the duration, and the duration [s].

        `arguments`: a JSON object as text. Raises InvalidParameterError, which the model is told.
        """
        if len(arguments) > MOST_ARGUMENTS:
            raise InvalidParameterError(f'the arguments have {len(arguments)} characters, and may have '
                                        f'{MOST_ARGUMENTS}')
        try:
            values = json.loads(arguments or '{}', object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            raise InvalidParameterError(f'the arguments must be a JSON object, not {shown(arguments)}') from None
        if not isinstance(values, dict):
            raise InvalidParameterError(f'the arguments must be a JSON object, not {shown(arguments)}')
        duration = self._duration(values)
        self.sent.message(values, now)
        return values, duration

    def _duration(self, values: dict[str, Any]) -> float:
        limits = self.spec.duration
        if not isinstance(limits, DurationSpec):
            return limits or 0.0
        if 'duration' not in values:
            raise InvalidParameterError('duration is missing')
        value = values.pop('duration')
        if isinstance(value, bool) or not isinstance(value, (int, float)) or \
                not limits.minimum <= value <= limits.maximum:
            raise InvalidParameterError(f'duration must be {limits.minimum:g} .. {limits.maximum:g}, not '
                                        f'{shown(value)}')
        return float(value)


def read_tools(path: str) -> tuple[dict[str, Tool], list[ExampleSpec]]:
    """
    Return the tools of a file by name, and its examples.

    Raises TinyChatError with one line that names the file, and the tool or the example.
    """
    file = read_tools_file(path)
    tools = {}
    for spec in file.tools:
        try:
            tools[spec.name] = Tool(spec)
        except InvalidParameterError as error:
            raise InvalidParameterError(f'{path}: tool {spec.name}: {error}') from None
    for example in file.examples:
        for call in example.calls:
            try:
                if call.name not in tools:
                    raise InvalidParameterError(f'there is no tool {shown(call.name)}')
                tools[call.name].read(json.dumps(call.arguments), Time())
            except (InvalidParameterError, TypeError) as error:
                raise InvalidParameterError(
                    f'{path}: example {shown(example.instruction)}: {call.name}: {error}') from None
    return tools, file.examples


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; ValueError for a duplicate name, because two readers could take different values."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError('a name is there twice')
    return values
