# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""OpenAI's `tools` and `tool_choice`, read and checked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from weather import TOOLS

from tinychat_core.errors import InvalidParameterError
from tinychat_core.text.tool_calls.tools import check_arguments, tool_use


def tool(**function: Any) -> list[Any]:
    return [{'type': 'function', 'function': {'name': 'x', **function}}]


REFUSED: dict[str, tuple[Any, str]] = {
    'no JSON': ('[', '^tools: is no JSON'),
    'deep': ('[' * 100_000, '^tools: is no JSON'),
    'an object': ('{}', '^tools: must be a JSON array'),
    'a number in it': ([1], r'^tools\[0\]: must be an object, not 1'),
    'another type': ([{'type': 'retrieval'}], r"^tools\[0\].type: must be 'function', not 'retrieval'"),
    'no function': ([{'type': 'function'}], r'^tools\[0\].function: must be an object with a name'),
    'no name': ([TOOLS[0], {'function': {}}], r'^tools\[1\].function.name: must be 1 .. 128 letters'),
    'name with a quote': (tool(name='a"b'), r'^tools\[0\].function.name: '),
    'long name': (tool(name='x' * 129), r'^tools\[0\].function.name: '),
    'one name twice': ([*tool(), *tool()], r"^tools\[1\].function.name: there are two tools named 'x'"),
    'description': (tool(description=3), r'^tools\[0\].function.description: must be a text'),
    'parameters': (tool(parameters=[]), r'^tools\[0\].function.parameters: must be a JSON schema of an object'),
    'of a string': (tool(parameters={'type': 'string'}), r"^tools\[0\].function.parameters.type: must be 'object'"),
    'a schema that cannot be kept': (
        tool(parameters={'type': 'object', 'properties': {'a': {'type': 'objekt'}}}),
        r'^tools\[0\].function.parameters: .*objekt'),
    'too many': (tool() * 129, '^tools: has 129 items, and may have 128'),
    'too large': (json.dumps(tool(description='x' * 200_000)), '^tools: has 200.* characters; the limit is 200000'),
}


@pytest.mark.parametrize(('tools', 'reason'), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_tool_is_refused_with_its_place(tools: Any, reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=reason):
        tool_use(tools)


@pytest.mark.parametrize(('choice', 'tools', 'reason'), [
    ('unknown', TOOLS, "must be 'auto', 'none', 'required' or the name of a tool, not 'unknown'"),
    ('get', [], 'must be'),
    ('required', [], 'requires a tool, and there are none'),
])
def test_a_choice_that_is_none_is_refused(choice: str, tools: list[Any], reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=f'^tool_choice: {reason}'):
        tool_use(tools, choice)


def test_tools_are_read_from_json_or_its_items() -> None:
    for tools in (TOOLS, json.dumps(TOOLS)):
        use = tool_use(tools)
        assert [tool.name for tool in use.tools] == ['get_weather', 'get']
        assert use.tools[0].definition == TOOLS[0]
    assert tool_use('').tools == tool_use('[]').tools == ()


@pytest.mark.parametrize(('choice', 'names', 'is_required'), [
    ('', ['get_weather', 'get'], False), ('none', [], False), ('required', ['get_weather', 'get'], True),
    ('get', ['get'], True)])
def test_the_choice_says_what_may_be_called(choice: str, names: list[str], is_required: bool) -> None:
    use = tool_use(TOOLS, choice)
    assert [tool.name for tool in use.callable] == names
    assert use.is_required == is_required


def test_a_tool_takes_no_argument_that_it_does_not_name_unless_it_says_so() -> None:
    properties = {'a': {'type': 'string'}}
    assert json.loads(tool_use(tool(parameters={'properties': properties})).tools[0].parameters) == {
        'type': 'object', 'properties': properties, 'additionalProperties': False}
    free = {'type': 'object', 'properties': properties, 'additionalProperties': {'type': 'integer'}}
    assert json.loads(tool_use(tool(parameters=free)).tools[0].parameters) == free
    assert json.loads(tool_use(tool()).tools[0].parameters)['additionalProperties'] is False


@pytest.mark.parametrize('arguments', ['[1]', '{', '"x"', '[' * 100_000])
def test_arguments_are_a_json_object(arguments: str) -> None:
    assert check_arguments('', 'here') == check_arguments('{}', 'here') == {}
    with pytest.raises(InvalidParameterError, match=r'^here: must be a JSON object'):
        check_arguments(arguments, 'here')
