# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A JSON schema's text, what clients wrap it in, and its keywords: kept, annotations, or refused by their names."""
from __future__ import annotations

from difflib import get_close_matches
import json
from typing import Any, NoReturn

from tinychat_core.errors import InvalidParameterError, shown

_TYPES = ('null', 'boolean', 'integer', 'number', 'string', 'array', 'object')
# Keywords that are kept, and the types on which they have an effect.
_NUMBER, _STRING, _ARRAY, _OBJECT = {'integer', 'number'}, {'string'}, {'array'}, {'object'}
_KEPT: dict[str, set[str]] = {keyword: types for keywords, types in (
    (('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'), _NUMBER),
    (('minLength', 'maxLength', 'pattern'), _STRING),
    (('format',), _STRING | _NUMBER),
    (('items', 'prefixItems', 'additionalItems', 'minItems', 'maxItems', 'uniqueItems'), _ARRAY),
    (('properties', 'patternProperties', 'additionalProperties', 'required', 'minProperties', 'maxProperties',
      'propertyNames'), _OBJECT),
    (('type', 'enum', 'const', '$ref', 'anyOf', 'oneOf', 'allOf'), {*_TYPES}),
) for keyword in keywords}
ANNOTATIONS = {
    'title', 'description', 'default', 'example', 'examples', 'deprecated', 'readOnly', 'writeOnly', '$comment',
    '$defs', 'definitions', 'discriminator', 'contentMediaType', 'contentEncoding', 'contentSchema', 'externalDocs',
    'xml', '$vocabulary',
}
# What to write instead of a keyword that no grammar can keep.
_INSTEAD = {
    'not': 'list what is allowed, with enum or anyOf',
    **dict.fromkeys(('if', 'then', 'else', 'dependentRequired', 'dependentSchemas', 'dependencies'),
                    'write anyOf, with a whole schema for each case'),
    **dict.fromkeys(('contains', 'minContains', 'maxContains'), 'say with items or prefixItems what each item is'),
    'unevaluatedProperties': 'write all properties into one schema, with additionalProperties',
    'unevaluatedItems': 'write prefixItems and items',
    **dict.fromkeys(('$dynamicRef', '$recursiveRef'), 'write $ref'),
    'nullable': 'write anyOf with {"type": "null"}',
    'x-guidance': 'leave it out',
}
_DRAFTS = ('json-schema.org/draft/2020-12/schema', 'json-schema.org/draft/2019-09/schema',
           'json-schema.org/draft-07/schema', 'json-schema.org/draft-06/schema', 'json-schema.org/draft-04/schema',
           'json-schema.org/schema')


def parsed(text: str) -> Any:
    """Return the schema that a text holds, out of what OpenAI's clients put around one."""
    try:
        return _unwrapped(json.loads(text, parse_constant=_no_number, object_pairs_hook=_object))
    except InvalidParameterError:
        raise
    except ValueError as error:
        is_cut_off = getattr(error, 'pos', 0) >= len(text.rstrip())
        raise InvalidParameterError(
            f"json_schema is not valid JSON: {'EOF while parsing: ' if is_cut_off else ''}{error}") from None


def refuse(path: str, why: str) -> NoReturn:
    """Raise InvalidParameterError: why, and where in the schema."""
    where = path if len(path) <= 100 else f'{path[:99]}…'
    raise InvalidParameterError(f'json_schema is refused: {why}' + (f', at {where}' if path != '#' else ''))


def check_keywords(schema: dict[str, Any], path: str) -> None:
    """Refuse a keyword that does not constrain what is declared, unless it is an annotation."""
    types = schema.get('type', [])
    for name in types if isinstance(types, list) else [types]:
        if name not in _TYPES:
            refuse(path, 'Invalid type: ' + shown(name).strip("'"))
    declared = {*types} if isinstance(types, list) else {types}
    for keyword, value in schema.items():
        if keyword in _KEPT:
            if declared and not declared & _KEPT[keyword]:
                refuse(path, f"'{keyword}' has no effect on type {' or '.join(sorted(declared))}; leave it out")
        elif keyword in _INSTEAD:
            refuse(path, f"'{keyword}' cannot be enforced; {_INSTEAD[keyword]}")
        elif keyword == '$schema':
            if not isinstance(value, str) or value.rstrip('#').partition('://')[2] not in _DRAFTS:
                refuse(path, f'the draft {shown(value)} is unknown')
        elif keyword in ('$id', 'id', '$anchor'):
            if path != '#':
                refuse(path, f"'{keyword}' inside a schema is not supported; use $ref with #/$defs/…")
        elif keyword not in ANNOTATIONS and not keyword.startswith('x-'):
            refuse(path, f'the keyword {shown(keyword)} is unknown{_meant(keyword)}')


def _no_number(name: str) -> NoReturn:
    raise InvalidParameterError(f'json_schema is refused: {name} is not a JSON number')


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidParameterError(f'json_schema is refused: {shown(twice)} occurs twice in one object')
    return found


def _unwrapped(schema: Any) -> Any:
    """Return the schema in what OpenAI's clients put around one."""
    if not isinstance(schema, dict):
        return schema
    if schema.get('type') == 'json_object' and len(schema) == 1:
        return {'type': 'object'}
    if schema.get('type') == 'json_schema' and isinstance(schema.get('json_schema'), dict):
        _only(schema, {'type', 'json_schema'})
        return _unwrapped(schema['json_schema'])
    if 'schema' in schema and ('name' in schema or 'strict' in schema or schema.get('type') == 'json_schema'):
        _only(schema, {'type', 'name', 'description', 'strict', 'schema'})
        return schema['schema']
    return schema


def _only(wrapper: dict[str, Any], known: set[str]) -> None:
    for name in wrapper:
        if name not in known:
            refuse('#', f'{shown(name)} is unknown beside a wrapped schema')


def _meant(keyword: str) -> str:
    """Return a guess at what a misspelt keyword should be, for the end of a message."""
    known = [*_KEPT, *_INSTEAD]
    same = [name for name in known if name.lower() == keyword.lower().replace('_', '').replace('-', '')]
    close = same or get_close_matches(keyword[:30], known, 1, 0.8)
    return f"; did you mean '{close[0]}'?" if close else ''
