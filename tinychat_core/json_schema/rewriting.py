# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
JSON Schema in the words that llguidance keeps to the letter.

llguidance passes over what it does not know (a keyword in the wrong case, one of another draft), and gives up on much
that pydantic writes. So a schema is written anew here: each keyword constrains the answer, is an annotation, or is
refused by its name.

https://json-schema.org/draft/2020-12, and the keywords of earlier drafts where they mean the same.
"""
from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
import json
from math import comb
from typing import Any
from urllib.parse import unquote

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.json_schema.choices import Choices
from tinychat_core.json_schema.formats import format_schema, NUMBERS
from tinychat_core.json_schema.keywords import ANNOTATIONS, check_keywords, parsed, refuse
from tinychat_core.json_schema.values import a_list, a_text, check_multiples, check_values, put_counts

_MOST_SUBSETS = 256  # arrays that an array of unique items is written as
_MOST_CHARACTERS = 400_000
_MOST_DEFINITIONS = 1000
_MOST_CHOICES = 50  # of a oneOf: each is compared with each
_MOST_SCHEMAS = 5000  # each counted as often as it is written
# As pydantic begins the pattern of a Decimal: not of signs and points alone.
_DECIMAL = '^(?!^[-+.]*$)'


def rewrite(text: str) -> str:
    """
    Return a schema that the same answers match, in the part of JSON Schema that llguidance keeps whole.

    What can only be kept by allowing less (one order for the items of a set, no leap second) allows less. Raises
    InvalidParameterError, with the place and what to write instead, for what cannot be kept at all.
    """
    try:
        rewritten = json.dumps(_Rewriter(parsed(text)).rewritten())
    except RecursionError:
        raise InvalidParameterError('json_schema is refused: it is nested deeper than the recursion limit') from None
    if len(rewritten) > _MOST_CHARACTERS:
        raise InvalidParameterError('json_schema is refused: it is too large when its choices are written out')
    return rewritten


class _Rewriter:
    """One schema; each place that a $ref names becomes a definition, d1 and so on."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._names: dict[tuple[int, tuple[str, ...]], str] = {}
        self._pending: list[tuple[str, Any, str, tuple[str, ...]]] = []
        self._choices = Choices(self._target)
        self._shared: dict[str, Any] = {}  # rewritten ones that stand in several places
        self._multiples: list[float] = []
        self._written = 0
        self._joins = False  # whether two schemas may have to hold at once

    def rewritten(self) -> Any:
        """Return the schema with all its definitions."""
        schema = self._schema(self._root, '#')
        definitions = self._shared
        while self._pending:
            name, target, path, must = self._pending.pop()
            definitions[name] = self._schema(target, path, must)
        if self._joins:
            check_multiples(self._multiples)
        if not definitions:
            return schema if isinstance(schema, dict) else {'anyOf': [schema]}
        return {**schema, '$defs': definitions}

    def _schema(self, schema: Any, path: str, must: tuple[str, ...] = ()) -> Any:
        """Return one schema anew; `must`: properties that are required beside its own."""
        self._written += 1
        if self._written > _MOST_SCHEMAS:
            refuse('#', f'it has more than {_MOST_SCHEMAS} schemas when its references are written out')
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            refuse(path, f'expecting object schema, true or false, not {shown(schema)}')
        check_keywords(schema, path)
        new: dict[str, Any] = {}
        all_of: list[Any] = []
        if 'type' in schema:
            new['type'] = schema['type']
        self._numbers(schema, path, new)
        self._strings(schema, path, new, all_of)
        self._arrays(schema, path, new, all_of)
        # What a reference names is required there: llguidance follows no circle that has keywords beside a reference.
        inside = '$ref' in schema or ('properties' not in schema and ('anyOf' in schema or 'oneOf' in schema))
        self._objects(schema, path, new, () if inside else must)
        for keyword in ('const', 'enum'):
            if keyword in schema:
                values = schema[keyword] if keyword == 'enum' else [schema[keyword]]
                if not isinstance(values, list) or not values:
                    refuse(path, f'{keyword} must be a non-empty list')
                check_values(values, path)
                new[keyword] = schema[keyword]
        if '$ref' in schema:
            new['$ref'] = self._reference(schema['$ref'], path, must)
        for keyword in ('anyOf', 'oneOf', 'allOf'):
            if keyword in schema:
                there = must if inside and '$ref' not in schema else ()
                self._combined(keyword, schema[keyword], path, there, new, all_of)
        if all_of or ({'$ref', 'anyOf'} & new.keys() and len(new) > 1) or 'patternProperties' in new:
            self._joins = True
        if all_of:
            if len(all_of) == 1 and not new and isinstance(all_of[0], dict):
                return all_of[0]
            new['allOf'] = all_of
        return new

    # --- one type after another -----------------------------------------------------------------------------

    def _numbers(self, schema: dict[str, Any], path: str, new: dict[str, Any]) -> None:
        for keyword in ('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'):
            if keyword not in schema:
                continue
            value = schema[keyword]
            if isinstance(value, bool) and keyword.startswith('exclusive'):  # draft 4
                limit = keyword.removeprefix('exclusive').lower()
                if value and limit not in new:
                    refuse(path, f'{keyword} is true without a {limit}')
                if value:
                    new[keyword] = new.pop(limit)
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                refuse(path, f'{keyword} must be a number, not {shown(value)}')
            check_values([value], path)
            if keyword == 'multipleOf' and not value > 0:
                refuse(path, f'multipleOf must be above 0, not {value}')
            if keyword == 'multipleOf':
                self._multiples.append(value)
            new[keyword] = value

    def _strings(self, schema: dict[str, Any], path: str, new: dict[str, Any], all_of: list[Any]) -> None:
        put_counts(schema, ('minLength', 'maxLength'), path, new)
        if 'pattern' in schema:
            pattern = a_text(schema['pattern'], 'pattern', path)
            if pattern.startswith(_DECIMAL):
                pattern = '^' + pattern.removeprefix(_DECIMAL)
                all_of.append({'pattern': '[0-9]'})
            new['pattern'] = pattern
        if 'format' in schema:
            name = a_text(schema['format'], 'format', path)
            known = format_schema(name)
            if known is None:
                refuse(path, f'format {shown(name)} cannot be enforced; write a pattern, or leave it out for any '
                             'string')
            wanted = {'integer', 'number'} if name in NUMBERS else {'string'}
            types = schema.get('type', [*wanted])
            if not wanted & {*(types if isinstance(types, list) else [types])}:
                refuse(path, f'format {shown(name)} has no effect on type {shown(types)}; leave it out')
            if known.keys() & new.keys() or 'anyOf' in known:
                all_of.append(known)
            else:
                new.update(known)

    def _arrays(self, schema: dict[str, Any], path: str, new: dict[str, Any], all_of: list[Any]) -> None:
        put_counts(schema, ('minItems', 'maxItems'), path, new)
        items, prefix = schema.get('items'), schema.get('prefixItems')
        places = ('items', 'prefixItems')
        if isinstance(items, list):  # until draft 2019-09
            if prefix is not None:
                refuse(path, 'items is a list beside prefixItems; write one of them')
            prefix, items, places = items, schema.get('additionalItems'), ('additionalItems', 'items')
        elif 'additionalItems' in schema:
            refuse(path, "'additionalItems' has no effect where items is no list; write prefixItems and items")
        if prefix is not None:
            new['prefixItems'] = [self._schema(item, f'{path}/{places[1]}/{i}')
                                  for i, item in enumerate(a_list(prefix, places[1], path))]
        if items is not None:
            new['items'] = self._schema(items, f'{path}/{places[0]}')
        unique = schema.get('uniqueItems', False)
        if not isinstance(unique, bool):
            refuse(path, f'uniqueItems must be true or false, not {shown(unique)}')
        if unique and new.get('maxItems', 2) > 1:
            all_of.append(self._unique(items, prefix, path, new))

    def _unique(self, items: Any, prefix: Any, path: str, new: dict[str, Any]) -> Any:
        """Return the arrays of different items, each in the order in which the choices are listed."""
        values = None if prefix else self._choices.values(items)
        if values is not None:
            low, high = new.get('minItems', 0), min(new.get('maxItems', len(values)), len(values))
            if sum(comb(len(values), count) for count in range(low, high + 1)) <= _MOST_SUBSETS:
                self._written += 2 ** len(values)
                subsets = [subset for count in range(low, high + 1) for subset in combinations(values, count)]
                return {'anyOf': [{'const': [*subset]} for subset in subsets] or [False]}
        refuse(path, "'uniqueItems' is enforced only for items with few choices (an enum of at most eight); write an "
                     'array (in '
                     'pydantic a list instead of a set) with maxItems, and remove duplicates yourself')

    def _objects(self, schema: dict[str, Any], path: str, new: dict[str, Any], must: Iterable[str]) -> None:
        put_counts(schema, ('minProperties', 'maxProperties'), path, new)
        for keyword in ('properties', 'patternProperties'):
            if keyword in schema:
                if not isinstance(schema[keyword], dict):
                    refuse(path, f'{keyword} must be an object')
                new[keyword] = {name: self._schema(value, f'{path}/{keyword}/{name}')
                                for name, value in schema[keyword].items()}
        if 'additionalProperties' in schema:
            new['additionalProperties'] = self._schema(schema['additionalProperties'], f'{path}/additionalProperties')
        required = a_list(schema.get('required', []), 'required', path)
        required = [*required, *(name for name in must if name not in required)]
        if required:
            new['required'] = [a_text(name, 'a name in required', path) for name in required]
        if 'propertyNames' in schema:
            self._names_of_properties(schema['propertyNames'], path, new)
        is_open = new.get('additionalProperties', True) is not False or bool(new.get('patternProperties'))
        if is_open and new.get('minProperties', 0) > len({*required}) + 1:
            refuse(path, "'minProperties' cannot be enforced if names are free, because one may come twice; write "
                         'required, or list the names')

    def _names_of_properties(self, names: Any, path: str, new: dict[str, Any]) -> None:
        """Say what names may be with the keywords for what is under them."""
        values = self._choices.values(names)
        rest = new.get('additionalProperties', True)
        if values is not None:
            if new.get('patternProperties'):
                refuse(path, "'propertyNames' cannot be enforced with patternProperties; list the properties")
            own = new.get('properties', {})
            if not isinstance(rest, bool):
                self._shared[f's{len(self._shared)}'] = rest
                rest = {'$ref': f'#/$defs/s{len(self._shared) - 1}'}
            new['properties'] = {name: own.get(name, rest) for name in values if isinstance(name, str)}
            new['additionalProperties'] = False
            return
        pattern = self._pattern_of_names(self._schema(names, f'{path}/propertyNames'))
        if pattern == '':
            return
        if pattern is None or 'properties' in new or 'patternProperties' in new or new.get('required'):
            refuse(path, "'propertyNames' cannot be enforced in this form; write properties, or patternProperties with "
                         'additionalProperties false')
        new['patternProperties'] = {pattern: rest}
        new['additionalProperties'] = False

    def _pattern_of_names(self, names: Any) -> str | None:
        """Return the one pattern of a rewritten schema for texts; '' for any text, None for anything else."""
        if names is True or not isinstance(names, dict):
            return '' if names is True else None
        constraints = {keyword: value for keyword, value in names.items() if keyword != 'type'}
        if constraints.keys() <= {'minLength', 'maxLength'}:
            low, high = constraints.get('minLength', 0), constraints.get('maxLength', '')
            return rf'^[\s\S]{{{low},{high}}}$' if constraints else ''
        return constraints['pattern'] if [*constraints] == ['pattern'] else None

    # --- what joins schemas ---------------------------------------------------------------------------------

    def _reference(self, reference: Any, path: str, must: tuple[str, ...]) -> str:
        target = self._target(reference, path)
        key = (id(target), must)
        if key not in self._names:
            if len(self._names) == _MOST_DEFINITIONS:
                refuse(path, f'it has more than {_MOST_DEFINITIONS} targets of $ref')
            self._names[key] = f'd{len(self._names) + 1}'
            self._pending.append((self._names[key], target, str(reference), must))
        return f'#/$defs/{self._names[key]}'

    def _target(self, reference: Any, path: str = '#') -> Any:
        """Return what a $ref names, through those that name another one."""
        seen = []
        while True:
            if not isinstance(reference, str) or not (reference == '#' or reference.startswith('#/')):
                refuse(path, f'$ref {shown(reference)} is not present in the schema; only #/… is supported')
            if reference in seen:
                refuse(path, f'$ref {shown(reference)} refers only to itself')
            seen.append(reference)
            target = self._root
            for step in reference.split('/')[1:]:
                step = unquote(step).replace('~1', '/').replace('~0', '~')
                if isinstance(target, list) and step.isdecimal() and int(step) < len(target):
                    target = target[int(step)]
                elif isinstance(target, dict) and step in target:
                    target = target[step]
                else:
                    refuse(path, f'$ref {shown(reference)} is not present in the schema')
            if not isinstance(target, dict) or '$ref' not in target or not target.keys() - {'$ref'} <= ANNOTATIONS:
                return target
            reference = target['$ref']

    def _combined(self, keyword: str, schemas: Any, path: str, must: tuple[str, ...], new: dict[str, Any],
                  all_of: list[Any]) -> None:
        schemas = a_list(schemas, keyword, path)
        if not schemas:
            refuse(path, f'{keyword} is empty')
        places = [f'{path}/{keyword}/{i}' for i in range(len(schemas))]
        if keyword == 'allOf':
            all_of += [self._schema(schema, place) for schema, place in zip(schemas, places, strict=True)]
            return
        if keyword == 'oneOf' and len(schemas) > 1:
            tags = None if len(schemas) > _MOST_CHOICES else self._choices.tags(schemas)
            if tags is None:
                refuse(path, "'oneOf' is enforced only if no answer can match two of its schemas: they must differ in "
                             'type, or in a property with a distinct const in each; write anyOf')
            must = (*must, *(tag for tag in tags if tag not in must))
        choices = [self._schema(schema, place, self._needed(schema, must))
                   for schema, place in zip(schemas, places, strict=True)]
        if 'anyOf' in new:
            all_of.append({'anyOf': choices})
        else:
            new['anyOf'] = choices

    def _needed(self, schema: Any, must: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the properties that a schema does not require itself; none of what is no object."""
        if 'object' not in self._choices.types(schema):
            return ()
        target = self._target(schema['$ref']) if isinstance(schema, dict) and [*schema] == ['$ref'] else schema
        own = target.get('required', ()) if isinstance(target, dict) else ()
        return tuple(name for name in must if not isinstance(own, list) or name not in own)
