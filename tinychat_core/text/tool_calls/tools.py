# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The tools that an answer may call. OpenAI's `tools` are read and checked here, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import json
import re
from typing import Any, NoReturn

from tinychat_core import constraint
from tinychat_core.errors import InvalidParameterError, shown

MAX_TOOLS = 128
MAX_CHARACTERS = 200_000  # of all tools as JSON
MAX_CALLS = 16  # of an answer
_NAME = re.compile(r'[A-Za-z0-9_.:/-]{1,128}')
_CHOICES = ('', 'auto', 'none', 'required')
# A schema with one of these keywords decides itself which other properties are allowed.
_OPEN = ('additionalProperties', 'patternProperties', 'unevaluatedProperties', 'propertyNames', '$ref', 'allOf',
         'anyOf', 'oneOf')


@dataclass(frozen=True)
class Tool:
    """
    A function that a model may call.

    `parameters`: a JSON schema of an object, as text. `definition`: an item of OpenAI's `tools`, for the chat template.
    """

    name: str
    parameters: str
    definition: Mapping[str, Any]


@dataclass(frozen=True)
class ToolUse:
    """
    The tools of a request, and which of them the answer may call.

    `choice`: 'auto', 'none', 'required' or the name of a tool. `parallel`: whether the answer may have several calls.
    """

    tools: tuple[Tool, ...] = ()
    choice: str = 'auto'
    parallel: bool = True

    @property
    def callable(self) -> tuple[Tool, ...]:
        """The tools that may be called."""
        if self.choice == 'none':
            return ()
        return self.tools if self.choice in ('auto', 'required') else tuple(
            tool for tool in self.tools if tool.name == self.choice)

    @property
    def is_required(self) -> bool:
        """Whether the answer must be a call."""
        return bool(self.tools) and self.choice not in ('auto', 'none')


NO_TOOLS = ToolUse()


@dataclass(frozen=True)
class ToolCall:
    """A call: `arguments` is a JSON object as text; `id`: 9 letters and digits if the parser generated it."""

    id: str
    name: str
    arguments: str


def tool_use(tools: str | Sequence[Any], choice: str = '', parallel: bool = True) -> ToolUse:
    """
    Return the checked tools of a request.

    `tools`: a JSON array as in OpenAI's `tools`, or its items. `choice`: '' or 'auto', 'none', 'required', or the name
    of a tool. Raises InvalidParameterError with the place of the error.
    """
    read = tuple(_tool(item, f'tools[{i}]') for i, item in enumerate(_items(tools)))
    names = [tool.name for tool in read]
    for i, name in enumerate(names):
        if name in names[:i]:
            _refuse(f'tools[{i}].function.name', f'there are two tools named {shown(name)}')
    if choice not in _CHOICES and choice not in names:
        _refuse('tool_choice', f"must be 'auto', 'none', 'required' or the name of a tool, not {shown(choice)}")
    if choice == 'required' and not names:
        _refuse('tool_choice', 'requires a tool, and there are none')
    return ToolUse(read, choice or 'auto', parallel)


def check_arguments(arguments: str, place: str) -> dict[str, Any]:
    """Return the arguments of a call; InvalidParameterError if they are not a JSON object."""
    try:
        value = json.loads(arguments or '{}')
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        _refuse(place, f'must be a JSON object, not {shown(arguments)}')
    return value


def _items(tools: str | Sequence[Any]) -> Sequence[Any]:
    if isinstance(tools, str):
        if len(tools) > MAX_CHARACTERS:
            _refuse('tools', f'has {len(tools)} characters; the limit is {MAX_CHARACTERS}')
        try:
            tools = json.loads(tools) if tools.strip() else []
        except (ValueError, RecursionError) as error:
            _refuse('tools', f'is no JSON: {error}')
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Sequence):
        _refuse('tools', f'must be a JSON array, not {shown(tools)}')
    if len(tools) > MAX_TOOLS:
        _refuse('tools', f'has {len(tools)} items, and may have {MAX_TOOLS}')
    return tools


def _tool(item: Any, place: str) -> Tool:
    if not isinstance(item, Mapping):
        _refuse(place, f'must be an object, not {shown(item)}')
    if item.get('type', 'function') != 'function':
        _refuse(f'{place}.type', f"must be 'function', not {shown(item['type'])}")
    function = item.get('function')
    place = f'{place}.function'
    if not isinstance(function, Mapping):
        _refuse(place, f'must be an object with a name, not {shown(function)}')
    name = function.get('name')
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        _refuse(f'{place}.name', f'must be 1 .. 128 letters, digits and _ . : / -, not {shown(name)}')
    description = function.get('description') or ''
    if not isinstance(description, str):
        _refuse(f'{place}.description', f'must be a text, not {shown(description)}')
    given = function.get('parameters')
    schema = _parameters({} if given is None else given, f'{place}.parameters')
    definition = {'name': name, 'description': description, 'parameters': given or {'type': 'object', 'properties': {}}}
    return Tool(name, schema, {'type': 'function', 'function': definition})


def _parameters(schema: Any, place: str) -> str:
    """Return the schema of the parameters as text; other properties are forbidden unless the schema allows them."""
    if not isinstance(schema, Mapping):
        _refuse(place, f'must be a JSON schema of an object, not {shown(schema)}')
    whole = {'type': 'object', **schema}
    if whole['type'] != 'object':
        _refuse(f'{place}.type', f"must be 'object', not {shown(whole['type'])}")
    if not any(keyword in whole for keyword in _OPEN):
        # A function accepts no arguments that its schema does not name.
        whole = {'properties': {}, **whole, 'additionalProperties': False}
    try:
        text = json.dumps(whole)
    except (TypeError, ValueError, RecursionError) as error:
        _refuse(place, f'is no JSON: {error}')
    try:
        constraint.check(text, '')
    except InvalidParameterError as error:
        _refuse(place, re.sub('^json_schema (is refused: )?', '', str(error)))
    return text


def _refuse(place: str, reason: str) -> NoReturn:
    raise InvalidParameterError(f'{place}: {reason}')
