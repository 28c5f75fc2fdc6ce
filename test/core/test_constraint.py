# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Structured answers: what is refused, and where an answer ends."""
from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from scripted_engine import EOS, ScriptedEngine, ScriptedTokenizer

from tinychat_core import constraint
from tinychat_core._tinychat import CancelFlag
from tinychat_core.constraint import MAX_CHARACTERS
from tinychat_core.errors import InvalidParameterError
from tinychat_core.generation import Generation
from tinychat_core.sampling import SamplingParams


class Bytes(ScriptedTokenizer):
    """Tokens that are bytes."""

    vocab_size = EOS + 1
    control_ids = frozenset({EOS})

    def bytes_of(self, token: int) -> bytes:
        return b'' if token == EOS else bytes([token])

    def encode_within(self, text: str) -> list[int]:
        return [*text.encode()]


def generate(script: bytes, max_new_tokens: int = 50, **params: Any) -> tuple[str, Generation]:
    """Return the answer of a model that would like to say `script`."""
    engine: Any = ScriptedEngine([*script, *[EOS] * 50])
    engine.tokenizer = Bytes()
    engine.vocab_size = 1000  # more logits than tokens, as many models have
    generation = Generation(engine, [1], SamplingParams(max_new_tokens, **params))
    return ''.join(token.text for token in generation), generation


@pytest.mark.parametrize('json_schema, reason', [
    ('{', 'EOF while parsing'),
    ('[]', 'Expecting object schema'),
    ('{"type": "objekt"}', 'objekt'),
    ('{"type": "string", "pattern": "("}', 'unclosed group'),
    ('{"type": "string", "minLength": 2, "maxLength": 1}', 'minLength'),
    ('{"$ref": "https://example.org/schema"}', 'not present'),
    ('{"not": {"type": "string"}}', 'not'),
    ('{"type": "array", "items": false, "minItems": 1}', 'unsatisfiable'),
    ('{"a":' * 3000, 'recursion limit'),
    ('{"enum": ["' + 'x' * MAX_CHARACTERS + '"]}', 'limit is 20000'),
])
def test_a_schema_that_nothing_can_match_is_refused_in_one_line(json_schema: str, reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=f'(?i)^json_schema [^\n]*{reason}') as refusal:
        SamplingParams(json_schema=json_schema)
    assert '\n' not in str(refusal.value)


@pytest.mark.parametrize('regex, reason', [
    ('(', 'unclosed group'), ('a{2,1}', 'repetition'), ('(?=a)b', 'look-ahead'), (r'\bword', 'lookarounds'),
    ('a' * (MAX_CHARACTERS + 1), 'limit is 20000'),
])
def test_an_expression_that_cannot_be_followed_is_refused_in_one_line(regex: str, reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=f'^regex [^\n]*{reason}') as refusal:
        SamplingParams(regex=regex)
    assert '\n' not in str(refusal.value)


def test_schema_and_expression_exclude_each_other() -> None:
    with pytest.raises(InvalidParameterError, match='not both'):
        SamplingParams(json_schema='{}', regex='a')


def test_without_llguidance_the_refusal_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'llguidance', None)
    with pytest.raises(InvalidParameterError, match='pip install llguidance'):
        SamplingParams(regex='a')
    SamplingParams()


def test_an_old_llguidance_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constraint, 'version', lambda name: '1.7.6')
    with pytest.raises(InvalidParameterError, match=r'newer llguidance than 1\.7\.6: pip install -U llguidance'):
        SamplingParams(regex='a')


def test_the_likeliest_text_that_matches_is_drawn() -> None:
    assert generate(b'no way', regex='(yes|no)')[0] == 'no'
    assert generate(b'[1,22,x', json_schema='{"type": "array", "items": {"type": "integer"}}')[0][:3] == '[1,'


def test_it_ends_where_nothing_can_follow_without_a_further_step() -> None:
    text, generation = generate(b'yes and', regex='yes')
    assert (text, generation.finish_reason, len(generation.ids), generation.is_complete) == ('yes', 'stop', 3, True)


def test_the_model_ends_it_where_more_could_follow() -> None:
    text, generation = generate(b'12', regex='[0-9]+')
    assert (text, generation.finish_reason, generation.is_complete) == ('12', 'stop', True)


def test_the_model_cannot_end_it_before_it_matches() -> None:
    assert generate(b'', regex='ok')[0] == 'ok'


@pytest.mark.parametrize('max_new_tokens, is_complete', [(2, False), (3, True)])
def test_what_the_length_cuts_off_is_complete_only_if_it_matches(max_new_tokens: int, is_complete: bool) -> None:
    text, generation = generate(b'yesss', max_new_tokens, regex='yess*')
    assert (text, generation.finish_reason) == ('yesss'[:max_new_tokens], 'length')
    assert generation.is_complete is is_complete


@pytest.mark.parametrize('regex, is_complete', [('[a-z ]+', True), ('[a-z ]+!', False)])
def test_what_a_stop_text_cuts_off_is_complete_only_if_it_matches(regex: str, is_complete: bool) -> None:
    text, generation = generate(b'go now stop', regex=regex, stop=(' stop',))
    assert (text, generation.is_complete) == ('go now', is_complete)


def test_an_answer_of_many_characters_is_whole() -> None:
    text, generation = generate('"Größe 😀"'.encode(), json_schema='{"type": "string"}')
    assert (text, generation.is_complete) == ('"Größe 😀"', True)


def test_without_a_structure_each_end_but_a_cancel_is_complete() -> None:
    assert generate(b'yes')[1].is_complete
    assert generate(b'yes', 2)[1].is_complete


def test_an_object_may_have_hundreds_of_properties() -> None:
    names = {f'p{i}': {} for i in range(500)}
    assert generate(b'{"p7": 1, "p400": 2}', json_schema=json.dumps({'type': 'object', 'properties': names}))[0] == (
        '{"p7": 1, "p400": 2}')


def test_a_cancel_while_a_schema_is_compiled_ends_the_answer() -> None:
    cancel = CancelFlag()
    cancel.set()
    engine: Any = ScriptedEngine([])
    engine.tokenizer = Bytes()
    generation = Generation(engine, [1], SamplingParams(
        json_schema='{"allOf":[{"type":"integer","multipleOf":9973},{"multipleOf":9967}]}'), cancel=cancel)
    assert [token.finish_reason for token in generation] == ['canceled']


def test_a_process_that_ends_once_it_knows_a_vocabulary_is_told_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another answer's structure that is too complex ends it at any time."""
    ask, told = constraint._MATCHER.ask, []

    def end_once(request: Any, *arguments: Any, **options: Any) -> Any:
        reply = ask(request, *arguments, **options)
        if request['do'] == 'vocabulary':
            told.append(request['name'])
            if len(told) == 1:
                constraint._MATCHER.stop_if_idle()
        return reply

    monkeypatch.setattr(constraint._MATCHER, 'ask', end_once)
    assert generate(b'yes', regex='yes|no')[0] == 'yes'
    assert len(told) == 2
