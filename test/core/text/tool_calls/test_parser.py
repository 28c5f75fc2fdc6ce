# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Answers taken apart into thoughts, text and calls, however they are cut into pieces."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from weather import CALLS, GOLDEN, golden, numbered, TOOLS

from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_core.text.tool_calls.formats import FORMATS
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.parser import AnswerParser, CallDelta
from tinychat_core.text.tool_calls.tools import tool_use

THINK = ThoughtMarks('<think>', '</think>')


def answer(name: str = 'hermes', choice: str = '', **parts: Any) -> AnswerParts:
    return AnswerParts(FORMATS[name], tool_use(TOOLS, choice), **{'thoughts': THINK, **parts})


def parse(parts: AnswerParts, text: str, seed: int | None = None) -> tuple[str, str, list[tuple[str, str]], bool]:
    """Return text, thoughts, calls, and whether the answer was cut off, checking that the deltas tell the same."""
    parser = AnswerParser(parts, numbered().__next__)
    random = Random(seed)
    deltas = []
    while text:
        size = len(text) if seed is None else random.randint(1, 6)
        deltas.append(parser.push(text[:size]))
        text = text[size:]
    deltas.append(parser.finish())
    assert ''.join(delta.text for delta in deltas) == parser.text
    assert ''.join(delta.thought for delta in deltas) == parser.thoughts
    calls = [call for delta in deltas for call in delta.calls]
    for i, call in enumerate(parser.calls):
        mine = [delta for delta in calls if delta.index == i]
        assert (mine[0].id, mine[0].name) == (call.id, call.name)
        assert not any(delta.id or delta.name for delta in mine[1:])
        assert ''.join(delta.arguments for delta in mine) == call.arguments
        assert [delta.is_complete for delta in mine] == [False] * (len(mine) - 1) + [True]
    return (parser.text, parser.thoughts, [(call.name, call.arguments) for call in parser.calls],
            parser.is_calling or parser.is_thinking)


@pytest.mark.parametrize('name', FORMATS)
def test_calls_are_read_back(name: str) -> None:
    calls = CALLS[:GOLDEN[name].count('%s')]
    assert parse(answer(name), golden(name)) == ('', '', calls, False)
    assert parse(answer(name), f'<think>\nI must.\n</think>\n\n{golden(name)}\n') == ('', 'I must.', calls, False)
    if FORMATS[name].opening:
        assert parse(answer(name), f'Let me see.\n\n{golden(name)}') == ('Let me see.', '', calls, False)


def test_a_python_tag_opens_a_call_anywhere() -> None:
    text = f'Hm. <|python_tag|>{golden("llama3")}'
    assert parse(answer('llama3'), text) == ('Hm.', '', CALLS[:1], False)


def test_ids_are_the_models_where_its_format_has_them() -> None:
    parser = AnswerParser(answer('mistral-v11'))
    parser.push(golden('mistral-v11'))
    assert [call.id for call in parser.calls] == ['aB3456789', 'bB3456789']


def test_ids_of_our_own_are_nine_letters_and_digits_and_differ() -> None:
    parser = AnswerParser(answer())
    parser.push(golden('hermes'))
    assert all(len(call.id) == 9 and call.id.isalnum() for call in parser.calls)
    assert len({call.id for call in parser.calls}) == 2


@pytest.mark.parametrize('name', FORMATS)
def test_how_an_answer_is_cut_into_pieces_does_not_matter(name: str) -> None:
    whole = golden(name)
    for text in (whole, f'Hm.\n\n{whole}', f'<think>\nI <tool_call> do\n</think>\n\n{whole}', f'{whole}\nBye.',
                 whole[:len(whole) // 2], 'x <tool_ca [TOOL ``` <th', '', '<think>cut', whole.replace('get', 'gat')):
        expected = parse(answer(name), text)
        for seed in range(40):
            assert parse(answer(name), text, seed) == expected, (text, seed)


def test_deltas_come_as_soon_as_they_are_certain() -> None:
    parser = AnswerParser(answer(), numbered().__next__)
    assert parser.push('Hello wor').text == 'Hello wor'
    assert parser.push('ld. <tool').text == 'ld.'
    assert parser.push('_call>\n{"name": "get_weather", "argu').calls == ()
    assert parser.push('ments": {"ci').calls == (CallDelta(0, '', 'call00000', 'get_weather'), CallDelta(0, '{"ci'))
    assert parser.is_calling
    assert parser.push('ty": "x"}').calls == (CallDelta(0, 'ty": "x"}', is_complete=True),)
    assert not parser.is_calling


@pytest.mark.parametrize('end', range(1, 70))
def test_a_call_that_is_cut_off_is_neither_a_call_nor_text(end: int) -> None:
    text, _, calls, is_cut = parse(answer(), 'Hm.\n' + golden('hermes')[:len('<tool_call>') + end])
    assert (text, calls, is_cut) == ('Hm.', [], True)


def test_a_thought_that_is_cut_off_is_a_thought() -> None:
    assert parse(answer(), '<think>\nI must. </thi') == ('', 'I must. </thi', [], True)


def test_a_thought_that_the_prompt_has_begun_ends_at_its_mark() -> None:
    assert parse(answer(is_thinking=True), '\nI must.\n</think>\n\nHello.') == ('Hello.', 'I must.', [], False)


def test_a_thought_comes_first_or_is_text() -> None:
    text = 'The <think> mark.</think>'
    assert parse(answer(), text) == (text, '', [], False)


@pytest.mark.parametrize('text', [
    '<tool_call>none</tool_call>',
    '<tool_call>\n{"name": "unknown", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "get", "arguments": []}\n</tool_call>',
])
def test_what_only_looks_like_a_call_is_text(text: str) -> None:
    assert parse(answer(), text) == (text, '', [], False)


@pytest.mark.parametrize('text', ['<tool_call>{"name":"get","arguments":{}}</tool_call>',
                                  '<tool_call>\n{ "name": "get",\n "arguments": {} }\n\n</tool_call>'])
def test_white_space_within_a_call_may_be_any(text: str) -> None:
    assert parse(answer(), text) == ('', '', [('get', '{}')], False)


def test_text_goes_on_after_calls() -> None:
    assert parse(answer(), golden('hermes') + '\n\nDone. ')[0] == 'Done. '


def test_without_tools_a_mark_is_text() -> None:
    text = golden('hermes')
    assert parse(answer(choice='none'), text) == (text, '', [], False)
    assert parse(AnswerParts(), f'  <think>{text} ') == (f'  <think>{text} ', '', [], False)


def test_json_that_was_asked_for_is_no_call() -> None:
    text = golden('llama3')
    assert parse(answer('llama3', json_schema='{}'), text) == (text, '', [], False)


ONE = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
TWO = '{"name": "get", "arguments": {}}'
PRETTY = '{\n  "name": "get_weather",\n  "arguments": {\n    "city": "Paris"\n  }\n}'
PARIS = ('get_weather', '{"city": "Paris"}')


@pytest.mark.parametrize('name', [name for name, form in FORMATS.items() if form.may_be_plain])
@pytest.mark.parametrize(('text', 'calls'), [
    (ONE, [PARIS]), (f'\n{ONE}\n', [PARIS]), (f'```json\n{ONE}\n```', [PARIS]), (f'```\n{ONE}\n```\n', [PARIS]),
    (f'```json\n{PRETTY}\n```', [('get_weather', '{\n    "city": "Paris"\n  }')]),
    (f'{ONE}\n{TWO}', [PARIS, ('get', '{}')]), (f'[{ONE}, {TWO}]', [PARIS, ('get', '{}')]),
    (f'```json\n[\n{ONE},\n{TWO}\n]\n```', [PARIS, ('get', '{}')]),
    (f'```json\n{ONE}\n```\n\n```json\n{TWO}\n```', [PARIS, ('get', '{}')]),
])
def test_an_answer_may_begin_with_calls_without_marks(name: str, text: str, calls: list[tuple[str, str]]) -> None:
    for whole, thought in ((text, ''), (f'<think>Hm.</think>\n\n{text}', 'Hm.')):
        assert parse(answer(name), whole) == ('', thought, calls, False)
        for seed in range(20):
            assert parse(answer(name), whole, seed) == ('', thought, calls, False)


@pytest.mark.parametrize('text', [
    f'Call {ONE}', '{"name": "unknown", "arguments": {}}', '{"name": "get_weather"}', '{"a": 1}', '{', '[', '[1]', '``',
    '```json\n{"name": "Bob", "age": 5}\n```', '```python\nprint()\n```', '```json\n', '{"name": "get_weather", "argu',
    '{"name": "get", "arguments": []}', ' {"na', ''])
def test_other_json_is_text(text: str) -> None:
    assert parse(answer(), text) == (text, '', [], False)
    for seed in range(20):
        assert parse(answer(), text, seed) == (text, '', [], False)


def test_marks_may_come_after_json_that_is_no_call() -> None:
    assert parse(answer(), f'{{"a": 1}}\n{golden("hermes")}') == ('{"a": 1}', '', CALLS, False)


def test_a_call_without_marks_that_is_cut_off_is_no_text() -> None:
    text, _, calls, is_cut = parse(answer(), ONE[:-8])
    assert (text, calls, is_cut) == ('', [], True)


def test_json_that_was_asked_for_beside_tools_is_no_call() -> None:
    assert parse(answer(json_schema='{}'), ONE) == (ONE, '', [], False)
    assert parse(answer(choice='none'), ONE) == (ONE, '', [], False)
