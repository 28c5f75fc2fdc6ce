# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Every keyword of a JSON schema constrains the answer, or is refused by its name; jsonschema judges."""

from __future__ import annotations

import json
from typing import Any

from constrained import structure
import jsonschema
import pytest

ANSWERS: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    5,
    6,
    12,
    255,
    2147483648,
    0.5,
    1.5,
    -0.5,
    0.1,
    '',
    'a',
    'b',
    'ab',
    'A',
    'aaaa',
    'é',
    'a\nb',
    'a"b',
    '\\',
    'tab\t',
    'x' * 20,
    '2024-02-29',
    '2023-02-29',
    '1900-02-29',
    '2000-02-29',
    '0000-01-01',
    '2024-13-01',
    '1.2.3.4',
    '1.2.3.256',
    '::1',
    'a@b.cd',
    '550e8400-e29b-41d4-a716-446655440000',
    [],
    [1],
    [1, 2],
    [1, 1],
    [1, 2, 3],
    ['a'],
    ['a', 'b'],
    ['a', 'a'],
    [1, 'a'],
    ['a', 1],
    [True, 'a'],
    [[1]],
    [None],
    {},
    {'a': 1},
    {'a': 'x'},
    {'b': 1},
    {'a': 1, 'b': 2},
    {'a': 1, 'b': 'x'},
    {'c': 1},
    {'a': 1, 'c': 1},
    {'ab': 1},
    {'x1': 1},
    {'x1': 's'},
    {'kind': 'a'},
    {'kind': 'b'},
    {'kind': 'b', 'y': 's'},
    {'kind': 'b', 'y': 1},
    {'a': {}},
    {'a': {'a': 1}},
    {'B': 1},
]
# A few schemas a keyword; those in the second list match less than they might, as is documented.
KEPT: list[Any] = [
    {},
    {'type': 'null'},
    {'type': 'boolean'},
    {'type': 'integer'},
    {'type': 'number'},
    {'type': 'string'},
    {'type': 'array'},
    {'type': 'object'},
    {'type': ['string', 'null']},
    {'const': 1},
    {'const': 'a"b'},
    {'const': [1, 2]},
    {'const': {'a': 1}},
    {'const': 0.5},
    {'enum': [1, 'a', None, True]},
    {'enum': [[], {}]},
    {'type': 'string', 'enum': ['a', 1]},
    {'minimum': 2},
    {'maximum': 2},
    {'exclusiveMinimum': 2},
    {'exclusiveMaximum': 2},
    {'multipleOf': 3},
    {'type': 'number', 'minimum': -0.5, 'maximum': 1.5},
    {'type': 'number', 'exclusiveMinimum': -0.5, 'exclusiveMaximum': 1.5},
    {'type': 'integer', 'minimum': 1, 'exclusiveMinimum': 1},
    {'minLength': 2},
    {'maxLength': 2},
    {'type': 'string', 'minLength': 2, 'maxLength': 3.0},
    {'pattern': 'a'},
    {'pattern': '^a|b$'},
    {'type': 'string', 'pattern': '^[a-z]+$', 'maxLength': 2},
    {'type': 'string', 'pattern': '"'},
    {'type': 'string', 'pattern': r'^\d'},
    {'type': 'string', 'format': 'date'},
    {'type': 'string', 'format': 'ipv4'},
    {'type': 'string', 'format': 'ipv6'},
    {'type': 'string', 'format': 'uuid'},
    {'type': 'array', 'items': {'type': 'integer'}},
    {'type': 'array', 'items': False},
    {'minItems': 2},
    {'maxItems': 1},
    {'type': 'array', 'prefixItems': [{'type': 'integer'}, {'type': 'string'}]},
    {'type': 'array', 'prefixItems': [{'type': 'integer'}], 'items': {'type': 'string'}},
    {'type': 'array', 'maxItems': 1, 'uniqueItems': True},
    {'type': 'array', 'uniqueItems': False},
    {'type': 'array', 'items': {'enum': ['a', 'b']}, 'uniqueItems': True},
    {
        '$schema': 'http://json-schema.org/draft-07/schema#',
        'items': [{'type': 'integer'}, {'type': 'string'}],
        'additionalItems': False,
    },
    {'$schema': 'http://json-schema.org/draft-04/schema#', 'type': 'integer', 'minimum': 2, 'exclusiveMinimum': True},
    {'type': 'object', 'properties': {'a': {'type': 'integer'}}, 'required': ['a']},
    {'type': 'object', 'properties': {'a': {'type': 'integer'}}, 'additionalProperties': False},
    {'type': 'object', 'properties': {'a': True}, 'additionalProperties': {'type': 'string'}},
    {'required': ['a']},
    {'type': 'object', 'patternProperties': {'^x': {'type': 'integer'}}, 'additionalProperties': False},
    {'properties': {'x1': {'type': ['integer', 'string']}}, 'patternProperties': {'^x': {'type': 'integer'}}},
    {'type': 'object', 'minProperties': 1},
    {'type': 'object', 'maxProperties': 1},
    {'type': 'object', 'properties': {'a': True, 'b': True}, 'additionalProperties': False, 'minProperties': 1},
    {'type': 'object', 'propertyNames': {'enum': ['a', 'b']}, 'additionalProperties': {'type': 'integer'}},
    {'propertyNames': {'pattern': '^x'}},
    {'propertyNames': {'maxLength': 1}},
    {'propertyNames': {'type': 'string'}},
    {'type': 'object', 'properties': {'kind': {'type': 'string'}, 'c': {}}, 'propertyNames': {'enum': ['kind', 'a']}},
    {'anyOf': [{'type': 'integer'}, {'type': 'string', 'maxLength': 1}]},
    {'allOf': [{'minimum': 2}, {'maximum': 6}]},
    {
        'allOf': [
            {'type': 'object', 'properties': {'a': {'type': 'integer'}}},
            {'additionalProperties': {'type': 'integer'}},
        ]
    },
    {'allOf': [{'properties': {'b': {}}}], 'properties': {'a': {}}, 'additionalProperties': False, 'type': 'object'},
    {'type': 'object', 'anyOf': [{'required': ['a']}, {'required': ['b']}]},
    {'oneOf': [{'type': 'integer'}, {'type': 'string'}]},
    {'oneOf': [{'const': 1}, {'const': 'a'}, {'enum': [2, 3]}]},
    {'oneOf': [{'type': 'integer', 'maximum': 2}, {'type': 'integer', 'minimum': 5}]},
    {
        'oneOf': [
            {'properties': {'kind': {'const': 'a'}}, 'type': 'object', 'required': ['kind']},
            {'properties': {'kind': {'const': 'b'}, 'y': {'type': 'string'}}, 'type': 'object', 'required': ['kind']},
        ]
    },
    {'$ref': '#/$defs/x', 'minimum': 2, '$defs': {'x': {'type': 'integer'}}},
    {'type': 'object', 'properties': {'a': {'$ref': '#'}}, 'additionalProperties': False},
    {'$ref': '#/definitions/a~1b', 'definitions': {'a/b': {'type': 'null'}}},
    {'properties': {'a': {'type': 'integer'}, 'b': {'$ref': '#/properties/a'}}},
    {
        'type': 'integer',
        'title': 't',
        'description': 'd',
        'default': 1,
        'examples': [1],
        'deprecated': True,
        'x-any': 1,
        'readOnly': True,
        '$comment': 'c',
        'contentEncoding': 'base64',
    },
]
NARROWER: list[Any] = [
    {'type': 'string', 'format': name} for name in ('time', 'date-time', 'duration', 'email', 'uri', 'hostname')
] + [
    {'type': 'object', 'required': ['b']},  # what is named comes first
    {
        'oneOf': [
            {'properties': {'kind': {'const': 'a'}}, 'type': 'object'},  # a tag that tells them apart must be there
            {'properties': {'kind': {'const': 'b'}, 'y': {'type': 'string'}}, 'type': 'object'},
        ]
    },
    {'type': 'integer', 'format': 'int32'},
]


def judge(schema: Any) -> Any:
    kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    return kind(schema, format_checker=kind.FORMAT_CHECKER)


@pytest.mark.parametrize('schema', KEPT, ids=json.dumps)
def test_exactly_what_the_schema_allows_matches(schema: Any) -> None:
    answer, validator = structure(schema), judge(schema)
    for value in ANSWERS:
        assert answer.matches(json.dumps(value, ensure_ascii=False)) == validator.is_valid(value), value


@pytest.mark.parametrize('schema', NARROWER, ids=json.dumps)
def test_nothing_matches_that_the_schema_forbids(schema: Any) -> None:
    answer, validator = structure(schema), judge(schema)
    matching = [value for value in ANSWERS if answer.matches(json.dumps(value, ensure_ascii=False))]
    assert all(validator.is_valid(value) for value in matching)


@pytest.mark.parametrize(
    'wrapped',
    [
        {'name': 'n', 'strict': True, 'schema': {'type': 'boolean'}},
        {'type': 'json_schema', 'name': 'n', 'schema': {'type': 'boolean'}},
        {
            'type': 'json_schema',
            'json_schema': {'name': 'n', 'description': 'd', 'strict': False, 'schema': {'type': 'boolean'}},
        },
    ],
)
def test_the_wrapping_of_openai_s_clients_is_taken_off(wrapped: Any) -> None:
    answer = structure(wrapped)
    assert answer.matches('true') and not answer.matches('1')


def test_any_json_object_as_openai_s_clients_say_it() -> None:
    answer = structure({'type': 'json_object'})
    assert answer.matches('{"a": 1}') and not answer.matches('1')


def test_a_property_cannot_be_spelt_in_a_second_way() -> None:
    answer = structure({'type': 'object', 'properties': {'a': {'type': 'integer'}}})
    assert answer.matches('{"a": 1, "b": "s"}')
    assert not answer.matches('{"a": 1, "\\u0061": "s"}')
