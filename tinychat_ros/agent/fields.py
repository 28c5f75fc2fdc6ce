# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The fields of a ROS message that the model may set: their JSON schema, and the check of the values from the model.

Both come from the message's type and from the limits of the tools file, so they cannot differ. The check is made even
though the chat node only returns arguments that match the schema: a remote model may not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from difflib import get_close_matches
import math
import sys
from typing import Any

import msgspec
from rosidl_parser import definition

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_ros.agent.ros_types import members, nested_class, type_name
from tinychat_ros.agent.tools_file import FieldSpec

# Where neither the type nor the file limits a text or an array: a small model sometimes goes on forever.
MOST_CHARACTERS, MOST_ITEMS = 256, 32
LARGEST_FLOAT32 = 3.4028234e38
EXACT = 2**53  # every whole number up to here is exact in JSON
_BITS = {'int8': 8, 'int16': 16, 'int32': 32, 'int64': 64, 'short': 16, 'long': 32, 'long long': 64}
_UNSIGNED_BITS = {'uint8': 8, 'uint16': 16, 'uint32': 32, 'uint64': 64, 'octet': 8, 'char': 8, 'unsigned short': 16,
                  'unsigned long': 32, 'unsigned long long': 64}
_LIMITS = {
    'a number': ('minimum', 'maximum', 'choices'), 'a text': ('max_length', 'choices'), 'a boolean': ('choices',),
    'a message': ('fields',),
}


class Shape(ABC):
    """One value: what the model is told about it, and how it becomes the value of a message's field."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""

    @abstractmethod
    def read(self, value: Any, place: str) -> Any:
        """Return the value for the message; InvalidParameterError that names the place, if it is not allowed."""


class Scalar(Shape):
    """A number, a text or a boolean."""

    def __init__(self, kind: Any, spec: FieldSpec, place: str, is_model: bool) -> None:
        """
        Take a type of rosidl_parser.definition; `is_model`: as in Structure.

        Raises InvalidParameterError for limits that do not fit the type.
        """
        self.choices: list[Any] | None = None
        self.is_octet = False
        self.low: float = -math.inf
        self.high: float = math.inf
        self.most: int | None = None
        if isinstance(kind, definition.AbstractGenericString):
            self.told, self.json_type = 'a text', 'string'
            bounded: Any = kind
            self.most = bounded.maximum_size if kind.has_maximum_size() else None
            if spec.max_length is not None:
                if self.most is not None and spec.max_length > self.most:
                    _refuse(place, f'max_length {spec.max_length} is above the {self.most} of the type')
                self.most = spec.max_length
            if self.most is None and is_model:
                self.most = MOST_CHARACTERS
        elif kind.typename == 'boolean':
            self.told, self.json_type = 'a boolean', 'boolean'
        else:
            self.told = 'a number'
            self.json_type = 'number' if kind.typename in ('float', 'double', 'long double') else 'integer'
            self.is_octet = kind.typename == 'octet'
            self._bound(kind.typename, spec, place)
        _check_limits(spec, self.told, place)
        if spec.choices is not None:
            self.choices = [self.read(choice, f'{place}: choices') for choice in spec.choices]

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        if self.choices is not None:
            return {'enum': [choice[0] if self.is_octet else choice for choice in self.choices]}
        schema: dict[str, Any] = {'type': self.json_type}
        if self.json_type == 'string':
            schema['maxLength'] = self.most
        for keyword, bound in (('minimum', self.low), ('maximum', self.high)):
            if self.json_type == 'integer' or (self.json_type == 'number' and abs(bound) < EXACT):
                schema[keyword] = max(-EXACT, min(EXACT, bound))
        return schema

    def read(self, value: Any, place: str) -> Any:
        """Return the number, text or boolean."""
        if self.json_type == 'boolean':
            if not isinstance(value, bool):
                _refuse(place, f'must be true or false, not {shown(value)}')
        elif self.json_type == 'string':
            if not isinstance(value, str):
                _refuse(place, f'must be a text, not {shown(value)}')
            if self.most is not None and len(value) > self.most:
                _refuse(place, f'has {len(value)} characters, and may have {self.most}')
            if '\0' in value or any('\ud800' <= character <= '\udfff' for character in value):
                _refuse(place, 'has a character that ROS cannot carry')
        else:
            value = self._number(value, place)
        if self.choices is not None and value not in self.choices:
            _refuse(place, f'must be one of {", ".join(map(shown, self.schema()["enum"]))}, not {shown(value)}')
        return value

    def _number(self, value: Any, place: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            _refuse(place, f'must be a number, not {shown(value)}')
        if not self.low <= value <= self.high:
            _refuse(place, f'must be {self.low:g} .. {self.high:g}, not {shown(value)}')
        if self.json_type == 'integer':
            if value != int(value):
                _refuse(place, f'must be a whole number, not {shown(value)}')
            value = int(value)
        return bytes([value]) if self.is_octet else value if self.json_type == 'integer' else float(value)

    def _bound(self, name: str, spec: FieldSpec, place: str) -> None:
        low: float
        high: float
        if name in _BITS:
            low, high = -2**(_BITS[name] - 1), 2**(_BITS[name] - 1) - 1
        elif name in _UNSIGNED_BITS:
            low, high = 0, 2**_UNSIGNED_BITS[name] - 1
        else:
            high = LARGEST_FLOAT32 if name == 'float' else sys.float_info.max
            low = -high
        for limit, bound in (('minimum', spec.minimum), ('maximum', spec.maximum)):
            if bound is None:
                continue
            if not low <= bound <= high or not math.isfinite(bound):
                _refuse(place, f'{limit} {bound:g} is outside of the type, which has {low:g} .. {high:g}')
            if self.json_type == 'integer' and bound != int(bound):
                _refuse(place, f'{limit} must be a whole number, not {bound:g}')
        whole = int if self.json_type == 'integer' else float
        self.low = low if spec.minimum is None else whole(spec.minimum)
        self.high = high if spec.maximum is None else whole(spec.maximum)
        if self.low > self.high:
            _refuse(place, f'minimum {self.low:g} is above maximum {self.high:g}')


class Sequence(Shape):
    """An array: of a fixed size, bounded, or without a bound of its own."""

    def __init__(self, kind: Any, spec: FieldSpec, place: str, is_model: bool) -> None:
        """Take a type of rosidl_parser.definition; `is_model`: as in Structure."""
        self.least, self.most = 0, MOST_ITEMS if is_model else 2**31
        if isinstance(kind, definition.Array):
            self.least = self.most = kind.size
            if spec.max_items is not None:
                _refuse(place, f'max_items has no effect: the type has exactly {kind.size} items')
        elif isinstance(kind, definition.BoundedSequence):
            self.most = kind.maximum_size
        if spec.max_items is not None:
            if isinstance(kind, definition.BoundedSequence) and spec.max_items > self.most:
                _refuse(place, f'max_items {spec.max_items} is above the {self.most} of the type')
            self.most = spec.max_items
        self.item = shape_of(kind.value_type, msgspec.structs.replace(spec, max_items=None), place, is_model)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {'type': 'array', 'items': self.item.schema(), 'minItems': self.least, 'maxItems': self.most}

    def read(self, value: Any, place: str) -> Any:
        """Return a list."""
        if not isinstance(value, list):
            _refuse(place, f'must be a list, not {shown(value)}')
        if not self.least <= len(value) <= self.most:
            allowed = str(self.most) if self.least == self.most else f'{self.least} .. {self.most}'
            _refuse(place, f'must have {allowed} items, not {len(value)}')
        return [self.item.read(item, f'{place}[{i}]') for i, item in enumerate(value)]


class Structure(Shape):
    """A message, and those of its fields that can be set."""

    def __init__(self, cls: Any, specs: Mapping[str, FieldSpec] | None, place: str, is_model: bool = True) -> None:
        """
        Take a message's class; `specs` None: all fields, each as its type allows.

        `is_model`: the values come from the model, so every field needs its value, and every array a bound; otherwise
        they come from the tools file, and a missing field keeps the default of the type. Raises InvalidParameterError
        for a field that does not exist, or a limit that does not fit it.
        """
        self.cls = cls
        self._is_partial = not is_model
        known = members(cls)
        self.shapes: dict[str, Shape] = {}
        self.specs = dict.fromkeys(known, FieldSpec()) if specs is None else specs
        for name, spec in self.specs.items():
            if name not in known:
                close = get_close_matches(name, known, 1)
                _refuse(place, f'{type_name(cls)} has no field {shown(name)}; ' + (
                    f'is it {close[0]}?' if close else f'it has {", ".join(known) or "none"}'))
            within = f'{place}.{name}' if place else name
            self.shapes[name] = shape_of(known[name], spec, within, is_model)
            if spec.default is not msgspec.UNSET:
                self.shapes[name].read(spec.default, f'{within}: default')

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema; a field with a default is not required."""
        properties = {}
        for name, shape in self.shapes.items():
            spec = self.specs[name]
            properties[name] = shape.schema()
            if spec.description:
                properties[name] = {'description': spec.description, **properties[name]}
            if spec.default is not msgspec.UNSET:
                properties[name] = {**properties[name], 'default': spec.default}
        return {'type': 'object', 'properties': properties, 'required': [
            name for name in properties if self.specs[name].default is msgspec.UNSET], 'additionalProperties': False}

    def read(self, value: Any, place: str) -> Any:
        """Return a new message, with all required fields set."""
        message = self.cls()
        self.set(message, value, place)
        return message

    def set(self, message: Any, values: Any, place: str = '') -> None:
        """Set fields of a message from a JSON object. Raises InvalidParameterError; the message is then half set."""
        if not isinstance(values, dict):
            _refuse(place or 'the arguments', f'must be an object, not {shown(values)}')
        for name in values:
            if name not in self.shapes:
                _refuse(place, f'has no field {shown(name)}; ' + (
                    f'it has {", ".join(self.shapes)}' if self.shapes else 'it takes none'))
        for name, shape in self.shapes.items():
            within = f'{place}.{name}' if place else name
            spec = self.specs[name]
            value = values.get(name, spec.default)
            if value is msgspec.UNSET:
                if self._is_partial:
                    continue
                _refuse(within, 'is missing')
            if isinstance(shape, Structure):  # keeps the fields that others have set
                shape.set(getattr(message, name), value, within)
            else:
                setattr(message, name, shape.read(value, within))


def shape_of(kind: Any, spec: FieldSpec, place: str, is_model: bool = True) -> Shape:
    """Return the shape of a field with a type of rosidl_parser.definition."""
    if isinstance(kind, definition.AbstractNestedType):
        return Sequence(kind, spec, place, is_model)
    if isinstance(kind, definition.NamespacedType):
        _check_limits(spec, 'a message', place)
        return Structure(nested_class(kind), spec.fields, place, is_model)
    return Scalar(kind, spec, place, is_model)


def _check_limits(spec: FieldSpec, kind: str, place: str) -> None:
    for limit in ('minimum', 'maximum', 'choices', 'max_length', 'max_items', 'fields'):
        if getattr(spec, limit) is not None and limit not in _LIMITS[kind]:
            _refuse(place, f'{limit} does not fit {kind}')


def _refuse(place: str, reason: str) -> Any:
    raise InvalidParameterError(f'{place}: {reason}' if place else reason)
