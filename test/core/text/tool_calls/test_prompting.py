# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tools, calls and results in the prompt: by the template where it knows them, else in the messages."""

from __future__ import annotations

from typing import Any

import pytest
from weather import TOOLS

from tinychat_core.errors import InvalidParameterError
from tinychat_core.text.chat_template import ChatTemplate

ARGUMENTS = '{"city": "Köln", "days": 2}'
DIALOGUE: list[dict[str, Any]] = [
    {'role': 'user', 'content': 'How is the weather?'},
    {'role': 'assistant', 'content': '', 'tool_calls': [
        {'id': 'call_1', 'name': 'get_weather', 'arguments': ARGUMENTS}]},
    {'role': 'tool', 'content': 'It rains.', 'tool_call_id': 'call_1'},
]
_TURNS = "{% for m in messages %}{{ '<' + m.role + '>' + (m.content or '') }}"
_END = '{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}'
_TOOLS = '{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% endif %}'
# Takes the arguments as an object; a text would be quoted once more.
OBJECT = (_TOOLS + _TURNS + '{% for c in m.tool_calls or [] %}<tool_call>\n{"name": "{{ c.function.name }}", '
          '"arguments": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}' + _END)
# Takes them as a text, and no content beside a call.
TEXT = (_TOOLS + '{% for m in messages %}{% if m.tool_calls %}{% if m.content is not none %}'
        "{{ raise_exception('both') }}{% endif %}{% for c in m.tool_calls %}{{ '<｜tool▁calls▁begin｜>' + c.type + "
        "'<｜tool▁sep｜>' + c.function.name + '\\n```json\\n' + c.function.arguments + '\\n```' }}{% endfor %}"
        "{% else %}{{ '<' + m.role + '>' + m.content }}{% endif %}" + _END)
# Knows tools, but neither calls nor results.
ONLY_TOOLS = ('<|start_of_role|>{% if tools %}available_tools {{ tools | tojson }}{% endif %}{% for m in messages %}'
              "{% if m.role != 'tool' %}{{ '<' + m.role + '>' + m.content }}{% endif %}" + _END)
NOTHING = "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '\n' }}" + _END
# Wants questions and answers in turn, and has no system prompt.
GEMMA = ("{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) or m.role == 'system' %}"
         "{{ raise_exception('roles must alternate') }}{% endif %}"
         "{{ '<start_of_turn>' + m.role + '\n' + m.content + '<end_of_turn>\n' }}" + _END)
MISTRAL = ("{% for m in messages %}{% if m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}"
           '{% elif m.tool_calls is defined %}[TOOL_CALLS][{% for c in m.tool_calls %}'
           "{% if c.id | length != 9 %}{{ raise_exception('9') }}{% endif %}{{ (c.function | tojson)[:-1] }}, "
           "\"id\": \"{{ c.id }}\"}{% endfor %}]{% elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }} "
           "{{ m.tool_call_id }}[/TOOL_RESULTS]{% elif m.role == 'system' %}{% else %}{{ m.content }}{% endif %}"
           '{% if tools and loop.first %}{{ tools | tojson }}{% endif %}{% endfor %}')


def render(template: str, dialogue: list[dict[str, Any]] = DIALOGUE, tools: list[dict[str, Any]] = TOOLS) -> str:
    return ChatTemplate(template, {}).render(dialogue, True, tools)


def test_a_template_that_knows_tools_writes_them_calls_and_results() -> None:
    text = render(OBJECT)
    assert '"name": "get_weather"' in text and '"description": "Tell the weather."' in text
    assert f'<tool_call>\n{{"name": "get_weather", "arguments": {ARGUMENTS}}}\n</tool_call>' in text
    assert text.endswith('<tool>It rains.<assistant>')


def test_arguments_are_an_object_or_a_text_and_content_is_none_as_the_template_wants() -> None:
    assert f'<｜tool▁sep｜>get_weather\n```json\n{ARGUMENTS}\n```<tool>It rains.' in render(TEXT)


def test_what_the_template_does_not_know_is_written_in_its_own_format() -> None:
    text = render(ONLY_TOOLS)
    assert '"name": "get_weather"' in text
    assert f'<assistant><|tool_call|>[{{"name": "get_weather", "arguments": {ARGUMENTS}}}]' in text
    assert '<user><tool_response>\nIt rains.\n</tool_response><assistant>' in text


def test_a_template_that_knows_nothing_gets_the_general_format() -> None:
    text = render(NOTHING, [{'role': 'system', 'content': 'You are a robot.'}, *DIALOGUE])
    assert text.startswith('<system>You are a robot.\n\nYou may call these functions:\n\n{"name": "get_weather", ')
    assert '<tool_call>\n{"name": "FUNCTION", "arguments": {"PARAMETER": VALUE}}\n</tool_call>' in text
    assert f'<assistant><tool_call>\n{{"name": "get_weather", "arguments": {ARGUMENTS}}}\n</tool_call>\n' in text


def test_a_template_without_a_system_prompt_has_tools_in_its_first_question() -> None:
    text = render(GEMMA)
    assert text.startswith('<start_of_turn>user\nYou may call these functions:')
    assert '```tool_code\n{"name": "FUNCTION", "parameters": {"PARAMETER": VALUE}}\n```' in text
    assert text.endswith('<start_of_turn>user\n```tool_output\nIt rains.\n```<end_of_turn>\n<assistant>')


def test_ids_become_what_the_template_takes() -> None:
    text = render(MISTRAL)
    call_id = text.partition('"id": "')[2][:9]
    assert call_id.isalnum() and f'It rains. {call_id}[/TOOL_RESULTS]' in text


def test_a_system_prompt_that_the_template_leaves_out_begins_the_question() -> None:
    text = render(MISTRAL, [{'role': 'system', 'content': 'You are a robot.'}, *DIALOGUE])
    assert 'You are a robot.\n\nHow is' in text


def test_results_that_follow_each_other_are_one_message() -> None:
    calls = [{'id': name, 'name': 'get', 'arguments': ''} for name in 'ab']
    dialogue = [DIALOGUE[0], {**DIALOGUE[1], 'tool_calls': calls},
                *({'role': 'tool', 'content': f'Result {name}.', 'tool_call_id': name} for name in 'ba')]
    assert ('```tool_output\nResult b.\n```\n```tool_output\nResult a.\n```<end_of_turn>' in render(GEMMA, dialogue))


def test_text_beside_a_call_stays() -> None:
    dialogue = [DIALOGUE[0], {**DIALOGUE[1], 'content': 'Let me see.'}, DIALOGUE[2]]
    assert 'Let me see.\n<tool_call>' in render(NOTHING, dialogue)


def test_thoughts_are_the_templates_to_keep_or_drop() -> None:
    template = "{% for m in messages %}{{ m.reasoning_content | default('none') }}:{{ m.content }} {% endfor %}"
    dialogue = [DIALOGUE[0], {'role': 'assistant', 'content': 'Hm.', 'thoughts': 'I must.'}, DIALOGUE[0]]
    assert render(template, dialogue, []) == 'none:How is the weather? I must.:Hm. none:How is the weather? '


@pytest.mark.parametrize(('dialogue', 'reason'), [
    (DIALOGUE[2:], r"^messages\[0\].tool_call_id: no call before it has the id 'call_1'"),
    ([*DIALOGUE, DIALOGUE[2]], r"^messages\[3\].tool_call_id: no call before it has the id 'call_1'"),
    (DIALOGUE[:2], r"^messages\[2\]: a tool message has to follow, with the result of the call 'call_1'"),
    ([*DIALOGUE[:2], DIALOGUE[0]], r'^messages\[2\]: a tool message has to follow'),
    ([DIALOGUE[0], {**DIALOGUE[1], 'tool_calls': DIALOGUE[1]['tool_calls'] * 2}, DIALOGUE[2]], 'two calls have the id'),
    ([DIALOGUE[0], {**DIALOGUE[1], 'tool_calls': [{'id': '', 'name': 'get', 'arguments': '['}]}],
     r"^messages\[1\].tool_calls: the arguments of 'get': must be a JSON object"),
])
def test_calls_and_results_that_do_not_match_are_refused(dialogue: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=reason):
        render(OBJECT, dialogue)


def test_a_result_without_an_id_answers_the_one_call() -> None:
    assert render(OBJECT, [*DIALOGUE[:2], {'role': 'tool', 'content': 'It rains.'}]) == render(OBJECT)


def test_a_result_that_the_template_leaves_out_is_an_error() -> None:
    template = OBJECT.replace("(m.content or '')", "('' if m.tool_call_id == 'call_1' else m.content or '')")
    with pytest.raises(InvalidParameterError, match="drops the message of role 'tool'"):
        render(template)


def test_an_unknown_format_is_refused_unless_one_is_chosen() -> None:
    template = ChatTemplate(_TOOLS + _TURNS + _END, {})
    with pytest.raises(InvalidParameterError, match='writes tool calls in a format that is not known here'):
        template.render(DIALOGUE, True, TOOLS)
    template.tools.choose('mistral-v13')
    assert f'[TOOL_CALLS]get_weather[ARGS]{ARGUMENTS}' in template.render(DIALOGUE, True, TOOLS)


SWITCH = _TURNS + '{% endfor %}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}'


def test_thinking_is_switched_where_the_template_knows_it() -> None:
    template = ChatTemplate(SWITCH, {})
    assert template.switches_thinking and not ChatTemplate(NOTHING, {}).switches_thinking
    question = DIALOGUE[:1]
    assert template.render(question, True, thinking=False) == template.render(question, True) + '<think></think>'
    assert template.render(question, True, thinking=True) == template.render(question, True)


@pytest.mark.parametrize('thinking', [True, False])
def test_where_nothing_switches_it_the_choice_is_refused(thinking: bool) -> None:
    with pytest.raises(InvalidParameterError, match=r'^thinking: the chat template cannot switch it'):
        ChatTemplate(NOTHING, {}).render(DIALOGUE[:1], True, thinking=thinking)
