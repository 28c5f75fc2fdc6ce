# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The tools file: YAML that names everything a model may do with the robot. Knows nothing of ROS."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, UNSET, UnsetType
import yaml

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.regular_file import read_file

MOST_TOOLS, MOST_EXAMPLES = 64, 32
_PLACE = re.compile(r' - at `\$\.?(.*)`$')

Name = Annotated[str, Meta(pattern='^[A-Za-z0-9_-]{1,64}$')]
Text = Annotated[str, Meta(min_length=1, max_length=2000)]
Count = Annotated[int, Meta(ge=1, le=10**6)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]


class FieldSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A field that the model may set.

    `minimum` and `maximum` bound a number, or each number of an array; `choices` lists the allowed values; `max_length`
    counts a text's characters, `max_items` an array's items. With a `default` the model may leave the field out.
    `fields` are those that it may set of a message, or of each message of an array; None: all.
    """

    description: str = ''
    minimum: float | None = None
    maximum: float | None = None
    choices: Annotated[list[Any], Meta(min_length=1)] | None = None
    max_length: Count | None = None
    max_items: Count | None = None
    default: Any | UnsetType = UNSET
    fields: dict[str, FieldSpec] | None = None


class DurationSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The range from which the model chooses for how long a message is published [s]."""

    maximum: Seconds
    minimum: Seconds = 0.1
    description: str = 'for how long [s]'


class ToolSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    One tool: a service to call, an action to run, a topic to publish on, or a topic to read from.

    `fields`: what the model may set; `defaults`: the values of other fields. `result`: the fields of the response,
    result or message that the model is told; None: all. `time_limit` [s]: for the answer, or for a subscriber to
    appear. `max_calls`: in one task. `min_interval` [s]: between the starts of two calls. `confirm`: a person must
    agree first. `motion`: the robot moves while the tool runs; None: if it is an action or has a duration.
    `duration` [s], `rate` [Hz]: for how long and how often a message is published. `stop`: the fields of the message
    that follows in any case; None: the type's default values, which are zeros for a velocity.
    """

    name: Name
    description: Text
    type: str
    service: str | None = None
    action: str | None = None
    publish: str | None = None
    read: str | None = None
    fields: dict[str, FieldSpec] = {}
    defaults: dict[str, Any] = {}
    result: Annotated[list[str], Meta(min_length=1)] | None = None
    time_limit: Seconds = 10.0
    max_calls: Count | None = None
    min_interval: Annotated[float, Meta(ge=0, le=86400)] = 0.0
    confirm: bool = False
    motion: bool | None = None
    duration: Seconds | DurationSpec | None = None
    rate: Annotated[float, Meta(ge=1, le=1000)] = 10.0
    stop: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        """Which of service, action, publish and read it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def interface(self) -> str:
        """The name of the service, action or topic."""
        return str(getattr(self, self.kind))

    @property
    def is_motion(self) -> bool:
        """Whether the robot moves while the tool runs."""
        return self.motion if self.motion is not None else self.kind == 'action' or self.duration is not None


KINDS = ('service', 'action', 'publish', 'read')


class ExampleCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call in an example, and the result that the model gets."""

    name: str
    arguments: dict[str, Any] = {}
    result: dict[str, Any] = msgspec.field(default_factory=lambda: {'ok': True})


class ExampleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task as the model should carry it out. Small models learn from examples, hardly from descriptions."""

    instruction: Text
    report: Text
    calls: list[ExampleCall] = []


class ToolsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    tools: Annotated[list[ToolSpec], Meta(min_length=1, max_length=MOST_TOOLS)]
    examples: Annotated[list[ExampleSpec], Meta(max_length=MOST_EXAMPLES)] = []


def read_tools_file(path: str) -> ToolsFile:
    """
    Return the content of a file, checked as far as that is possible without their ROS types.

    Raises TinyChatError with one line that names the place.
    """
    if not path:
        raise InvalidParameterError('tools_file: name the YAML file with the tools of the robot')
    text = read_file(Path(path).expanduser())
    try:
        content = yaml.load(text, _Loader)
    except (yaml.YAMLError, UnicodeError, RecursionError, ValueError) as error:
        raise InvalidParameterError(f'{path} is no YAML: {" ".join(str(error).split())}') from None
    try:
        file = msgspec.convert(content, ToolsFile)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidParameterError(f'{path}: {_told(str(error), content)}') from None
    names: set[str] = set()
    for tool in file.tools:
        if tool.name in names:
            raise InvalidParameterError(f'{path}: there are two tools named {tool.name}')
        names.add(tool.name)
        try:
            _check(tool)
        except InvalidParameterError as error:
            raise InvalidParameterError(f'{path}: tool {tool.name}: {error}') from None
    return file


def _check(tool: ToolSpec) -> None:
    """Refuse settings that contradict each other or would have no effect."""
    given = [kind for kind in KINDS if getattr(tool, kind) is not None]
    if len(given) != 1:
        raise InvalidParameterError(f'give exactly one of {", ".join(KINDS)}' +
                                    (f', not {" and ".join(given)}' if given else ''))
    kind = tool.kind
    without_effect = {
        'duration': tool.duration is not None and kind != 'publish',
        'stop': tool.stop is not None and tool.duration is None,
        'rate': tool.rate != 10.0 and tool.duration is None,
        'fields': bool(tool.fields) and kind == 'read',
        'defaults': bool(tool.defaults) and kind == 'read',
        'result': tool.result is not None and kind == 'publish',
        'motion': bool(tool.motion) and kind == 'read',
    }
    for name, has_none in without_effect.items():
        if has_none:
            raise InvalidParameterError(
                f'{name} has no effect for {"a topic to read" if kind == "read" else kind}' +
                (' without a duration' if kind == 'publish' and name != 'result' else ''))
    if isinstance(tool.duration, DurationSpec):
        if tool.duration.minimum > tool.duration.maximum:
            raise InvalidParameterError('duration: minimum is above maximum')
        if 'duration' in tool.fields:
            raise InvalidParameterError('the model cannot set both a field named duration and the duration')


class _Loader(yaml.SafeLoader):
    """Refuses a duplicate key: YAML forbids it, and PyYAML would silently take the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == 'tag:yaml.org,2002:merge':
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key {shown(key)} is there twice', key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)


def _told(message: str, content: Any) -> str:
    """Return a message of msgspec that begins with the place, which names the tool."""
    place = _PLACE.search(message)
    message = _PLACE.sub('', message).replace('`', '')
    message = message[:1].lower() + message[1:]
    if place is None:
        return f'{message}; the file has a list named tools' if not isinstance(content, dict) else message
    where = re.sub(r'\[\.\.\.\]', '.*', place[1])
    number = re.match(r'tools\[(\d+)\]', where)
    if number is None:
        return f'{where}: {message}'
    item = content['tools'][int(number[1])]
    name = item.get('name') if isinstance(item, dict) else None
    rest = where[number.end():].lstrip('.')
    return ': '.join([f'tool {name}' if isinstance(name, str) and name else number[0], *([rest] if rest else []),
                      message])
