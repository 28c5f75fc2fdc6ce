# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Structured answers of a real model at temperature 1: each one that ends matches."""
from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import re
from typing import Any

import jsonschema
import pytest

from tinychat_core.engine import Engine
from tinychat_core.sampling import SamplingParams

PROMPT = [{'role': 'user', 'content': 'Go to the kitchen and pick up the cup. What is to be done?'}]


def an_object(**properties: Any) -> dict[str, Any]:
    return {'type': 'object', 'properties': properties, 'required': [*properties], 'additionalProperties': False}


PLACE = {'enum': ['kitchen', 'hall', 'Küche']}
SCHEMAS: dict[str, dict[str, Any]] = {
    'command': an_object(action={'enum': ['go', 'pick', 'place']}, place=PLACE),
    'list of commands': {'type': 'array', 'items': an_object(action={'enum': ['go', 'pick']}), 'minItems': 1,
                         'maxItems': 2},
    'number': an_object(x={'type': 'number', 'minimum': -1, 'maximum': 1}),
    'whole number': an_object(n={'type': 'integer', 'minimum': 0, 'maximum': 255}),
    'truth': an_object(sure={'type': 'boolean'}),
    'nothing': an_object(object={'type': ['null', 'boolean']}),
    'short text': an_object(say={'type': 'string', 'maxLength': 12}),
    'text of a kind': an_object(name={'type': 'string', 'pattern': '^[a-z]{2,8}$'}),
    'date': an_object(day={'type': 'string', 'format': 'date'}),
    'one of several': {'anyOf': [an_object(go=PLACE), an_object(stop={'const': True})]},
    'by reference': {'$ref': '#/$defs/place', '$defs': {'place': an_object(place=PLACE)}},
    'tuple': {'type': 'array', 'prefixItems': [{'type': 'boolean'}, PLACE], 'items': False, 'minItems': 2},
    'all of': {'allOf': [{'type': 'integer'}, {'minimum': 3, 'maximum': 9}]},
    'left out or not': {'type': 'object', 'properties': {'a': {'type': 'boolean'}, 'b': PLACE},
                        'additionalProperties': False},
}
EXPRESSIONS = ['(yes|no)', r'-?[0-9]{1,3}\.[0-9]{2}', r'(go|pick)\((kitchen|cup)\)', '[äöü]{3}', '#[0-9a-f]{6}',
               '[A-Z][a-z]{1,9}( [a-z]{1,9}){2}[.]', '((north|south) ){0,2}(east|west)']


@pytest.fixture(scope='module')
def engine(smollm2_checkpoint: Path) -> Iterator[Engine]:
    engine = Engine.open(smollm2_checkpoint, max_seq_len=512)
    yield engine
    engine.close()


def answers(engine: Engine, **structure: str) -> Iterator[str]:
    for seed in range(3):
        generation = engine.generate(PROMPT, SamplingParams(60, temperature=1.0, seed=seed, **structure))
        text = ''.join(token.text for token in generation)
        assert (generation.finish_reason, generation.is_complete) == ('stop', True)
        yield text


@pytest.mark.slow
@pytest.mark.parametrize('schema', SCHEMAS.values(), ids=SCHEMAS.keys())
def test_json(engine: Engine, schema: dict[str, Any]) -> None:
    for text in answers(engine, json_schema=json.dumps(schema)):
        jsonschema.validate(json.loads(text), schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.slow
@pytest.mark.parametrize('regex', EXPRESSIONS)
def test_expression(engine: Engine, regex: str) -> None:
    for text in answers(engine, regex=regex):
        assert re.fullmatch(regex, text)
