# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""No message gets lost in a chat template: it stands in the text that the model reads, or is an error."""
from __future__ import annotations

import itertools
import logging
from typing import Any

from chat_templates import TEMPLATES, VARIABLES
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from tinychat_core.errors import InvalidParameterError
from tinychat_core.text.chat_template import ChatTemplate

SYSTEM = {'role': 'system', 'content': 'Be brief.'}
QUESTION = {'role': 'user', 'content': 'Why maps?'}
ANSWER = {'role': 'assistant', 'content': 'They help.'}
NEXT = {'role': 'user', 'content': 'How?'}
BEGUN = {'role': 'assistant', 'content': 'Because'}


def template(name: str) -> ChatTemplate:
    return ChatTemplate(TEMPLATES[name], VARIABLES)


def of_transformers(name: str, messages: list[dict[str, Any]], continues: bool) -> str:
    if name == 'parts':
        messages = [{**message, 'content': [{'type': 'text', 'text': message['content']}]} for message in messages]
    texts, _ = render_jinja_template([messages], chat_template=TEMPLATES[name], continue_final_message=continues,
                                     add_generation_prompt=not continues, **VARIABLES)
    return str(texts[0])


@pytest.mark.parametrize('name', ['gemma 2', 'old mistral', 'silent'])
def test_a_system_prompt_without_a_place_begins_the_first_question(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        subject = template(name)
        text = subject.render([SYSTEM, QUESTION, ANSWER, NEXT], True)
        subject.render([SYSTEM, QUESTION], True)
    asked = {'role': 'user', 'content': 'Be brief.\n\nWhy maps?'}
    assert text == of_transformers(name, [asked, ANSWER, NEXT], False)
    assert [record.message for record in caplog.records] == [
        'the chat template has no place for a system prompt: it goes before the first question']


@pytest.mark.parametrize('name', ['chatml', 'llama 3', 'thinking', 'parts', 'llama-2', 'vicuna', 'mpt', 'falcon'])
def test_a_system_prompt_with_a_place_of_its_own_stays_there(name: str, caplog: pytest.LogCaptureFixture) -> None:
    messages = [SYSTEM, QUESTION, ANSWER, NEXT]
    assert template(name).render(messages, True) == of_transformers(name, messages, False)
    assert not caplog.records


def test_a_system_prompt_that_no_question_follows_is_an_error() -> None:
    with pytest.raises(InvalidParameterError, match='no place for a system prompt, and no user message follows'):
        template('gemma 2').render([QUESTION, SYSTEM], True)


@pytest.mark.parametrize('name', TEMPLATES)
def test_every_message_is_in_the_text_or_there_is_one_clear_error(name: str) -> None:
    subject = template(name)
    for count in range(1, 5):
        for roles in itertools.product(('system', 'user', 'assistant', 'tool'), repeat=count):
            messages = [{'role': role, 'content': f'message {i}!'} for i, role in enumerate(roles)]
            try:
                text = subject.render(messages, True)
            except InvalidParameterError as error:
                assert str(error).startswith(('the chat template ', 'messages['))
            else:
                assert all(message['content'] in text for message in messages), roles


@pytest.mark.parametrize('messages, said', [
    ([QUESTION, NEXT], 'roles must alternate'),
    ([ANSWER, QUESTION], 'roles must alternate'),
])
@pytest.mark.parametrize('name', ['gemma 2', 'old mistral'])
def test_a_template_that_demands_alternation_says_so(name: str, messages: list[dict[str, str]], said: str) -> None:
    with pytest.raises(InvalidParameterError, match=said):
        template(name).render(messages, True)


@pytest.mark.parametrize('name, messages, role', [
    ('silent', [QUESTION, {'role': 'developer', 'content': 'Be brief.'}], 'developer'),
    ('pairs', [QUESTION, NEXT], 'user'),
])
def test_what_a_template_leaves_out_without_a_word_is_an_error(name: str, messages: list[dict[str, str]],
                                                               role: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"drops the message of role '{role}' in a dialogue of user, "):
        template(name).render(messages, True)


def test_a_thought_that_a_template_leaves_out_is_no_message() -> None:
    thought = {'role': 'assistant', 'content': 'Hm.</think>They help.'}
    assert '<assistant>They help.</s>' in template('thinking').render([QUESTION, thought, NEXT], True)


@pytest.mark.parametrize('begun', ['Because', 'Because ', 'Because of\n', ' Because', 'Be'])
@pytest.mark.parametrize('name', TEMPLATES)
def test_an_answer_that_has_begun_goes_on_as_transformers_continues_it(name: str, begun: str) -> None:
    messages = [QUESTION, ANSWER, NEXT, {'role': 'assistant', 'content': begun}]
    assert template(name).render(messages, True) == of_transformers(name, messages, True)


@pytest.mark.parametrize('name', TEMPLATES)
def test_what_has_begun_ends_the_text(name: str) -> None:
    text = template(name).render([QUESTION, BEGUN], True)
    assert text.endswith('Because') and 'Why maps?' in text


@pytest.mark.parametrize('name', TEMPLATES)
def test_a_last_message_that_says_nothing_is_an_answer_that_has_not_begun(name: str) -> None:
    """Not even the line that the template ends before an answer may be taken from it."""
    asked = [QUESTION, ANSWER, NEXT]
    for nothing in ('', ' ', '\n'):
        messages = [*asked, {'role': 'assistant', 'content': nothing}]
        assert template(name).render(messages, True) == template(name).render(asked, True)


def test_where_no_answer_is_to_begin_the_last_one_is_whole() -> None:
    assert template('chatml').render([QUESTION, BEGUN], False).endswith('Because<|im_end|>\n')


def test_a_last_message_that_the_template_changes_cannot_be_continued() -> None:
    begun = {'role': 'assistant', 'content': 'Hm.</think>Because'}
    with pytest.raises(InvalidParameterError, match='changes the last message, so that it cannot be continued'):
        template('thinking').render([QUESTION, begun], True)


def test_what_marks_the_place_may_stand_in_a_message() -> None:
    begun = {'role': 'assistant', 'content': 'THE ANSWER GOES ON HERE or there'}
    assert template('chatml').render([QUESTION, begun], True).endswith('\nTHE ANSWER GOES ON HERE or there')


def test_a_template_that_shows_nothing_of_a_question_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert ChatTemplate('Hello', {}).render([QUESTION], True) == 'Hello'
    assert [record.message for record in caplog.records] == [
        "the chat template does not write the user's message; the model cannot read it"]
