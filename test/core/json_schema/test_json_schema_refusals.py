# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What of a JSON schema is refused: by its name, with its place and what to write instead."""

from __future__ import annotations

import json
from typing import Any

from constrained import structure
import pytest

from tinychat_core.errors import InvalidParameterError
from tinychat_core.json_schema.rewriting import rewrite


@pytest.mark.parametrize(
    'schema, reason',
    [
        ({'type': 'string', 'maxlength': 3}, "'maxlength' is unknown; did you mean 'maxLength'"),
        ({'type': 'string', 'max_length': 3}, "did you mean 'maxLength'"),
        ({'type': 'object', 'properties': {'a': {'type': 'string', 'maxLen': 3}}}, "'maxLen' .* at #/properties/a$"),
        (
            {'type': 'array', 'items': {'anyOf': [{'ENUM': [1]}]}},
            "'ENUM' is unknown; did you mean 'enum'.*#/items/anyOf/0",
        ),
        ({'$ref': '#/$defs/x', '$defs': {'x': {'requires': ['a']}}}, "'requires' is unknown.*#/\\$defs/x"),
        ({'type': 'String'}, 'Invalid type: String$'),
        ({'type': 'integer', 'maxLength': 3}, "'maxLength' has no effect on type integer"),
        ({'type': 'array', 'maxLength': 3}, "'maxLength' has no effect on type array"),
        ({'type': 'integer', 'format': 'date'}, "format 'date' has no effect"),
        ({'type': 'string', 'format': 'regex'}, "format 'regex' cannot be enforced; write a pattern"),
        ({'not': {}}, "'not' cannot be enforced; list what is allowed"),
        ({'if': {}, 'then': {}}, "'if' cannot be enforced; write anyOf"),
        ({'type': 'array', 'contains': {}}, "'contains' cannot be enforced"),
        ({'type': 'object', 'dependentRequired': {}}, "'dependentRequired' cannot be enforced"),
        (
            {'$schema': 'http://json-schema.org/draft-04/schema#', 'dependentRequired': {}},
            "'dependentRequired' cannot be enforced",
        ),
        ({'type': 'object', 'unevaluatedProperties': False}, "'unevaluatedProperties' cannot be enforced"),
        ({'type': 'string', 'nullable': True}, "'nullable' cannot be enforced; write anyOf"),
        ({'type': 'object', 'x-guidance': {'lenient': True}}, "'x-guidance' cannot be enforced"),
        ({'type': 'array', 'items': {'type': 'string'}, 'uniqueItems': True}, 'write an array .in pydantic a list'),
        ({'type': 'array', 'prefixItems': [{}], 'additionalItems': False}, "'additionalItems' has no effect"),
        ({'type': 'object', 'minProperties': 2}, "'minProperties' cannot be enforced if names are free"),
        (
            {'type': 'object', 'propertyNames': {'pattern': 'a'}, 'properties': {'b': {}}},
            "'propertyNames' cannot be enforced in this form",
        ),
        ({'oneOf': [{'type': 'integer'}, {'type': 'number'}]}, "'oneOf' is enforced only if"),
        ({'oneOf': [{'required': ['a']}, {'required': ['b']}]}, "'oneOf' is enforced only if"),
        ({'$ref': '#/$defs/missing'}, "'#/\\$defs/missing' is not present"),
        ({'$ref': '#'}, 'refers only to itself'),
        (
            {'$defs': {'a': {'$ref': '#/$defs/b'}, 'b': {'$ref': '#/$defs/a'}}, '$ref': '#/$defs/a'},
            'refers only to itself',
        ),
        ({'$schema': 'https://example.org/mine', 'type': 'string'}, 'the draft .* is unknown'),
        ({'type': 'integer', 'minimum': 2**53 + 1}, 'cannot be represented exactly'),
        ({'const': 12345678901234567890}, 'cannot be represented exactly'),
        ({'type': 'integer', 'multipleOf': 0}, 'multipleOf must be above 0'),
        (
            {'allOf': [{'type': 'integer', 'multipleOf': 99991}, {'multipleOf': 99989}]},
            "several 'multipleOf' are too large",
        ),
        ({'type': 'string', 'maxLength': -1}, 'maxLength must be an integer'),
        ({'type': 'string', 'minLength': '3'}, 'minLength must be an integer'),
        ({'type': 'object', 'required': 'a'}, 'required must be a list'),
        ({'enum': []}, 'enum must be a non-empty list'),
        ({'anyOf': []}, 'anyOf is empty'),
        ({'properties': {'a': 3}}, 'expecting object schema'),
        ('{"type": "string", "type": "integer"}', "'type' occurs twice"),
        ('{"const": NaN}', 'NaN is not a JSON number'),
        ('{"const": 1e999}', 'cannot be represented exactly'),
        ({'enum': ['a\x01']}, 'control characters'),
        ({'name': 'n', 'schema': {}, 'stricter': True}, "'stricter' is unknown beside a wrapped schema"),
        ({'schema': {'type': 'string'}}, "'schema' is unknown"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_name(schema: Any, reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=reason) as refusal:
        structure(schema)
    assert '\n' not in str(refusal.value) and len(str(refusal.value)) < 500


# Each would be written out to millions of schemas, or compared for minutes.
LARGE: dict[str, Any] = {
    'choices': {'oneOf': [{'type': 'object', 'properties': {'k': {'const': i}}} for i in range(300)]},
    'sets': {
        'type': 'object',
        'properties': {
            f'p{i}': {'type': 'array', 'items': {'enum': [f'{n}' for n in range(8)]}, 'uniqueItems': True}
            for i in range(60)
        },
    },
    'references to what they are in': {
        'allOf': [
            {'properties': {f'p{i}': {'$ref': f'#/allOf/{i}'} for i in range(150)}, 'required': ['p1']}
            for _ in range(150)
        ]
    },
}


@pytest.mark.parametrize('name', LARGE)
def test_what_grows_beyond_all_bounds_is_refused_before_it_is_written(name: str) -> None:
    with pytest.raises(InvalidParameterError, match=r'more than 5000 schemas|too large|enforced only if'):
        rewrite(json.dumps(LARGE[name]))


def test_what_is_nested_too_deeply_is_refused_in_one_line() -> None:
    for schema in ('[' * 10_000, '{"items":' * 300 + '{}' + '}' * 300, '{"anyOf":[' * 1900):
        with pytest.raises(InvalidParameterError, match=r'json_schema is refused: .*recursion limit'):
            structure(schema)


def test_references_that_double_at_each_step_stay_few() -> None:
    steps = {f'a{i}': {'anyOf': [{'$ref': f'#/$defs/a{i + 1}'}] * 2} for i in range(60)}
    answer = structure({'$ref': '#/$defs/a0', '$defs': {**steps, 'a60': {'type': 'null'}}})
    assert answer.matches('null') and not answer.matches('1')
