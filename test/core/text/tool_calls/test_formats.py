# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Formats of tool calls: what each writes, and which one a chat template has."""

from __future__ import annotations

import pytest
from weather import CALLS, GOLDEN, golden

from tinychat_core.errors import InvalidParameterError
from tinychat_core.text.tool_calls.formats import format_of_template, FORMATS, general_format, tool_format

TEMPLATES = {
    'hermes': r'within <tool_call></tool_call> tags:\n{\"name\": <function-name>, \"arguments\": <args-json-object>}',
    'llama3': "<|start_header_id|> {{- '{\"name\": \"' + call.name + '\", \"parameters\": ' }}",
    'mistral': "{{- '[TOOL_CALLS] [' }}",
    'mistral-v11': "{{- '[TOOL_CALLS]' + call.name + '[CALL_ID]' + call.id + '[ARGS]' }}",
    'mistral-v13': "{{- '[TOOL_CALLS]' + call.name + '[ARGS]' }}",
    'phi4': "{{ '<|tool|>' + message['tools'] + '<|/tool|>' }}",
    'phi4-single': "{{- '<|tool|>' }}{{- '<|tool_call|>' + (call | tojson) + '<|/tool_call|>' }}",
    'granite': "{{- '<|start_of_role|>available_tools<|end_of_role|>' }}",
    'deepseek': "{{'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + tool.type + '<｜tool▁sep｜>' + '\\n```json\\n'}}",
    'deepseek-v3.1': "{{'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + tool.name + '<｜tool▁sep｜>'}}",
}


@pytest.mark.parametrize('name', FORMATS)
def test_each_format_writes_its_calls(name: str) -> None:
    calls = CALLS[:GOLDEN[name].count('%s')]
    written = golden(name).replace('[CALL_ID]aB3456789', '').replace('[CALL_ID]bB3456789', '')
    assert FORMATS[name].written(calls) == written


@pytest.mark.parametrize('name', TEMPLATES)
def test_the_format_is_found_in_the_template(name: str) -> None:
    form = format_of_template(TEMPLATES[name])
    assert form is not None and form.name == name


@pytest.mark.parametrize('template', ['', '<tool_call><function=name><parameter=x>', '{% if tools %}x{% endif %}'])
def test_another_format_is_not_taken_for_a_known_one(template: str) -> None:
    assert format_of_template(template) is None


def test_a_template_without_tools_gets_the_general_format_or_that_of_its_family() -> None:
    assert general_format('<|im_start|>').name == 'general'
    assert general_format('<start_of_turn>model').name == 'gemma'


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidParameterError, match="no tool format 'xml'; use one of hermes, llama3"):
        tool_format('xml')
