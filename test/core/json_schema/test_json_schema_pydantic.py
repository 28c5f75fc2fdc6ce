# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What pydantic writes for a type constrains answers to it: jsonschema and pydantic read random ones back."""

from __future__ import annotations

import datetime
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from itertools import islice
import json
from pathlib import Path
import re
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

from constrained import random_answer, structure
import jsonschema
from pydantic import (
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    Json,
    PositiveInt,
    SecretStr,
    TypeAdapter,
    UUID4,
)
import pytest

from tinychat_core.errors import InvalidParameterError

T = TypeVar('T')


class Colour(Enum):
    RED = 'red'
    GREEN = 'green'


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: Annotated[float, Field(ge=-1, le=1)]
    y: int


class Cat(BaseModel):
    kind: Literal['cat'] = 'cat'  # a tag with a default: pydantic does not require it
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal['dog', 'puppy'] = 'dog'
    friend: Animal | None = None


Animal = Annotated[Cat | Dog, Field(discriminator='kind')]


class Tree(BaseModel):
    model_config = ConfigDict(extra='forbid')
    value: bool
    children: Annotated[list[Tree], Field(max_length=2)] = []


class Go(BaseModel):
    """Drive somewhere."""

    action: Literal['go'] = Field('go', description='what to do', examples=['go'])
    place: Colour = Field(deprecated=True, json_schema_extra={'x-unit': 'none'})
    speed: Annotated[float, Field(gt=0, le=1.5)] = 0.5


class Handle(BaseModel):
    action: Literal['pick', 'put']
    name: Annotated[str, Field(min_length=1, max_length=8, pattern='^[a-z]+$')]


class Plan(BaseModel):
    steps: Annotated[list[Annotated[Go | Handle, Field(discriminator='action')]], Field(min_length=1, max_length=3)]
    note: Annotated[str, Field(max_length=10)] | None = None


class BlackCat(BaseModel):
    pet: Literal['cat'] = 'cat'
    colour: Literal['black'] = 'black'


class WhiteCat(BaseModel):
    pet: Literal['cat'] = 'cat'
    colour: Literal['white'] = 'white'
    deaf: bool


class Lizard(BaseModel):
    pet: Literal['lizard', 'reptile'] = 'lizard'


Nested = Annotated[Annotated[BlackCat | WhiteCat, Field(discriminator='colour')] | Lizard, Field(discriminator='pet')]


class Measured(BaseModel, Generic[T]):
    value: T
    at: Annotated[datetime.date, Field(title='when')]
    about: tuple[Nested, bool]


Dog.model_rebuild()
Short = Annotated[str, Field(max_length=12)]
TYPES: dict[str, Any] = {
    'Path': Path,
    'SecretStr': SecretStr,
    'bytes': bytes,
    'date': datetime.date,
    'time': datetime.time,
    'datetime': datetime.datetime,
    'AwareDatetime': AwareDatetime,
    'timedelta': datetime.timedelta,
    'UUID': UUID,
    'UUID4': UUID4,
    'IPv4Address': IPv4Address,
    'IPv6Address': IPv6Address,
    'IPv4Network': IPv4Network,
    'Base64Bytes': Base64Bytes,
    'PositiveInt': PositiveInt,
    'bool': bool,
    'None': type(None),
    'int of a range': Annotated[int, Field(gt=1, lt=100, multiple_of=7)],
    'float of a range': Annotated[float, Field(gt=0.5, le=2)],
    'number or text': int | Short,
    'constrained text': Annotated[str, Field(min_length=2, max_length=5, pattern='^[a-c]+$')],
    'Optional': int | None,
    'Enum': Colour,
    'IntEnum': Level,
    'Literal': Literal[1, 'a', True, None],
    'set of Enum': set[Colour],
    'frozenset of Literal': frozenset[Literal['a', 'b', 'c']],
    'set of bool': set[bool],
    'at most one of a set': Annotated[set[Short], Field(max_length=1)],
    'tuple': tuple[int, Short],
    'tuple of any length': tuple[bool, ...],
    'NamedTuple': Point,
    'list': Annotated[list[int], Field(min_length=1, max_length=3)],
    'dict of Literal': dict[Literal['a', 'b'], int],
    'dict of Enum': dict[Colour, bool],
    'dict of UUID': dict[UUID, bool],
    'dict of short names': dict[Annotated[str, Field(min_length=1, max_length=3)], bool],
    'discriminated union': Animal,
    'list of discriminated unions': Annotated[list[Animal], Field(max_length=2)],
    'nested discriminated unions': Nested,
    'generic': Measured[Annotated[int, Field(ge=0, lt=10)]],
    'recursive': Tree,
    'commands': Plan,
    'Any': Any,
}
LOOSE: dict[str, Any] = {
    'FilePath': FilePath,
    'AnyUrl': AnyUrl,
    'Json': Json[Any],
    'Decimal': Decimal,
    'dict of texts of a pattern': dict[Annotated[str, Field(pattern='^k[0-9]$')], bool],
}
REFUSED: dict[str, tuple[Any, str]] = {
    'set of texts': (set[str], 'a list instead of a set'),
    'set of numbers': (set[int], 'a list instead of a set'),
    'regular expression': (re.Pattern, "format 'regex' cannot be enforced"),
}


def answers(kind: Any, count: int) -> list[str]:
    schema = TypeAdapter(kind).json_schema()
    drawn = (random_answer(schema, seed) for seed in range(40))
    complete = [*islice((text for text in drawn if text is not None), count)]
    assert complete, 'no answer came to an end'
    return complete


@pytest.mark.parametrize('name', TYPES)
def test_each_answer_is_of_the_type(name: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(TYPES[name])
    validator = jsonschema.Draft202012Validator(
        adapter.json_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for text in answers(TYPES[name], 4):
        validator.validate(json.loads(text))
        adapter.validate_json(text)


@pytest.mark.parametrize('name', LOOSE)
def test_each_answer_matches_the_schema_of_what_pydantic_looks_at_further(name: str) -> None:
    """Whether a file is there, a text is a number, or names are of the one pattern, does not stand in the schema."""
    schema = TypeAdapter(LOOSE[name]).json_schema()
    for text in answers(LOOSE[name], 3):
        jsonschema.validate(json.loads(text), schema)


def test_the_pattern_of_a_decimal_as_other_releases_write_it() -> None:
    answer = structure({'type': 'string', 'pattern': r'^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$'})
    assert answer.matches('"-12.5"') and answer.matches('".5"')
    assert not answer.matches('"-."') and not answer.matches('""') and not answer.matches('"1e5"')


def test_the_schema_that_openai_s_helper_makes_of_a_model() -> None:
    schema = {
        'type': 'json_schema',
        'json_schema': {'name': 'plan', 'strict': True, 'schema': Plan.model_json_schema()},
    }
    text = random_answer(schema, 1)
    assert text is not None and Plan.model_validate_json(text).steps


@pytest.mark.parametrize('name', REFUSED)
def test_what_no_grammar_can_say_is_refused_with_what_to_write(name: str) -> None:
    kind, reason = REFUSED[name]
    with pytest.raises(InvalidParameterError, match=reason):
        structure(TypeAdapter(kind).json_schema())
