# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Which of several schemas an answer can match: their types, their few values, and properties that tell them apart."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
import json
from typing import Any

_ALL = frozenset({'null', 'boolean', 'number', 'string', 'array', 'object'})
_KINDS = {'NoneType': 'null', 'bool': 'boolean', 'int': 'number', 'float': 'number', 'str': 'string', 'list': 'array',
          'dict': 'object'}
_PLAIN = {'title', 'description', 'default', 'examples', 'deprecated'}


class Choices:
    """What can be told of schemas whose $ref are followed by `target`; all answers err on the side of more."""

    def __init__(self, target: Callable[[Any], Any]) -> None:
        """Take what follows a reference."""
        self._target = target
        # By the identity of a schema, which lives as long as the whole one; None in a circle of references, too.
        self._known_types: dict[int, frozenset[str]] = {}
        self._known_values: dict[int, list[Any] | None] = {}
        self._known_keys: dict[int, frozenset[str] | None] = {}
        self._known_names: dict[int, list[str]] = {}
        self._known_tags: dict[tuple[int, str], frozenset[str] | None] = {}

    def types(self, schema: Any) -> frozenset[str]:
        """Return the types that may match; 'number' stands for integers, too."""
        if schema is False:
            return frozenset()
        if not isinstance(schema, dict):
            return _ALL
        if id(schema) not in self._known_types:
            self._known_types[id(schema)] = _ALL
            self._known_types[id(schema)] = self._types(schema)
        return self._known_types[id(schema)]

    def values(self, schema: Any) -> list[Any] | None:
        """Return all values that match, in their order; None where they are many, or other keywords have a say."""
        if not isinstance(schema, dict):
            return None
        if id(schema) not in self._known_values:
            self._known_values[id(schema)] = None
            self._known_values[id(schema)] = self._values(schema)
        return self._known_values[id(schema)]

    def _types(self, schema: dict[str, Any]) -> frozenset[str]:
        found = _ALL
        if 'type' in schema:
            names = schema['type'] if isinstance(schema['type'], list) else [schema['type']]
            found &= frozenset('number' if name == 'integer' else name for name in names if isinstance(name, str))
        for keyword in ('const', 'enum'):
            if keyword in schema:
                values = schema[keyword] if keyword == 'enum' else [schema[keyword]]
                if isinstance(values, list):
                    found &= frozenset(_KINDS[type(value).__name__] for value in values)
        if '$ref' in schema:
            found &= self.types(self._target(schema['$ref']))
        for choices in self._unions(schema):
            found &= frozenset().union(*(self.types(choice) for choice in choices))
        for part in self._parts(schema):
            found &= self.types(part)
        return found

    def _values(self, schema: dict[str, Any]) -> list[Any] | None:
        keywords = schema.keys() - _PLAIN
        if keywords == {'$ref'}:
            return self.values(self._target(schema['$ref']))
        if keywords == {'anyOf'} and isinstance(schema['anyOf'], list):
            of_each = [self.values(choice) for choice in schema['anyOf']]
            return None if None in of_each else _different([value for some in of_each for value in some or ()])
        if keywords == {'type'} and schema['type'] in ('null', 'boolean'):
            return [None] if schema['type'] == 'null' else [False, True]
        if keywords not in ({'const'}, {'enum'}, {'const', 'type'}, {'enum', 'type'}):
            return None
        values = schema['enum'] if 'enum' in schema else [schema['const']]
        if not isinstance(values, list):
            return None
        if 'type' in schema:
            # A whole number that is written 1.0 is left out of type integer, as llguidance does.
            if schema['type'] == 'integer':
                return _different([value for value in values if type(value) is int])
            kinds = self._types({'type': schema['type']})
            values = [value for value in values if _KINDS[type(value).__name__] in kinds]
        return _different(values)

    def tags(self, schemas: Sequence[Any]) -> tuple[str, ...] | None:
        """
        Return properties that, once they are required, let no answer match two of the schemas.

        None where that cannot be shown; () where types and values alone tell them apart.
        """
        unlike = [pair for pair in combinations(schemas, 2) if not self._are_apart(*pair)]
        if not unlike:
            return ()
        names: dict[str, None] = {}
        for pair in unlike:
            if any(self.types(schema) != {'object'} for schema in pair):
                return None
            tag = next((name for name in self._properties(pair[0])
                        if self._have_different(name, *pair)), None)
            if tag is None:
                return None
            names[tag] = None
        return tuple(names)

    def _are_apart(self, one: Any, other: Any) -> bool:
        common = self.types(one) & self.types(other)
        if not common:
            return True
        some, others = self._keys(one), self._keys(other)
        if some is not None and others is not None:
            return some.isdisjoint(others)
        return common == {'number'} and (self._range(one)[1] < self._range(other)[0]
                                         or self._range(other)[1] < self._range(one)[0])

    def _keys(self, schema: Any) -> frozenset[str] | None:
        """Return all values that match as `_key` writes them: each schema is compared with many others."""
        if id(schema) not in self._known_keys:
            values = self.values(schema)
            self._known_keys[id(schema)] = None if values is None else frozenset(map(_key, values))
        return self._known_keys[id(schema)]

    def _range(self, schema: Any) -> tuple[float, float]:
        number = (int, float)
        target = schema if isinstance(schema, dict) else {}
        low = [target[k] for k in ('minimum', 'exclusiveMinimum') if isinstance(target.get(k), number)]
        high = [target[k] for k in ('maximum', 'exclusiveMaximum') if isinstance(target.get(k), number)]
        return max(low, default=float('-inf')), min(high, default=float('inf'))

    def _have_different(self, name: str, one: Any, other: Any) -> bool:
        some, others = self._tag_values(one, name), self._tag_values(other, name)
        return some is not None and others is not None and not some & others

    def _properties(self, schema: Any) -> list[str]:
        """Return the names of properties that a schema, or one of its choices, describes."""
        if not isinstance(schema, dict):
            return []
        if id(schema) not in self._known_names:
            self._known_names[id(schema)] = []
            self._known_names[id(schema)] = self._names(schema)
        return self._known_names[id(schema)]

    def _names(self, schema: dict[str, Any]) -> list[str]:
        own = schema.get('properties')
        names = [*own] if isinstance(own, dict) else []
        inner = [self._target(schema['$ref'])] if '$ref' in schema else []
        for part in [*inner, *(c for choices in self._unions(schema) for c in choices), *self._parts(schema)]:
            names += self._properties(part)
        return [*dict.fromkeys(names)]

    def _tag_values(self, schema: Any, name: str) -> frozenset[str] | None:
        """Return what a property can be in any object that matches; None where that is not limited."""
        if not isinstance(schema, dict):
            return None
        key = id(schema), name
        if key not in self._known_tags:
            self._known_tags[key] = None
            self._known_tags[key] = self._limited(schema, name)
        return self._known_tags[key]

    def _limited(self, schema: dict[str, Any], name: str) -> frozenset[str] | None:
        own = schema.get('properties')
        if isinstance(own, dict) and name in own:
            values = self.values(own[name])
            if values is not None:
                return frozenset(_key(value) for value in values)
        inner = [self._target(schema['$ref'])] if '$ref' in schema else []
        for part in [*inner, *self._parts(schema)]:
            found = self._tag_values(part, name)
            if found is not None:
                return found
        for choices in self._unions(schema):
            of_each = [self._tag_values(choice, name) for choice in choices]
            if None not in of_each:
                return frozenset().union(*(found for found in of_each if found is not None))
        return None

    @staticmethod
    def _unions(schema: dict[str, Any]) -> list[list[Any]]:
        return [schema[k] for k in ('anyOf', 'oneOf') if isinstance(schema.get(k), list) and schema[k]]

    @staticmethod
    def _parts(schema: dict[str, Any]) -> list[Any]:
        return schema['allOf'] if isinstance(schema.get('allOf'), list) else []


def _key(value: Any) -> str:
    """Return the same text for what JSON Schema calls equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(_key(item) for item in value)}]"
    if isinstance(value, dict):
        return '{' + ','.join(sorted(f'{json.dumps(name)}:{_key(item)}' for name, item in value.items())) + '}'
    return json.dumps(value)


def _different(values: list[Any]) -> list[Any]:
    return [*{_key(value): value for value in values}.values()]
