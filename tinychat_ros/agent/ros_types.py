# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""ROS types by their names."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
import re
from typing import Any

from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_topic_name import validate_topic_name

from tinychat_core.errors import InvalidParameterError, shown

# The folder of a package in which the types of a kind of tool are.
FOLDERS = {'service': 'srv', 'action': 'action', 'publish': 'msg', 'read': 'msg'}


def find_type(name: str, kind: str) -> Any:
    """Return the class of a type such as std_srvs/srv/SetBool; InvalidParameterError if it does not exist."""
    folder = FOLDERS[kind]
    match = re.fullmatch(r'([a-z]\w*)/(?:(msg|srv|action)/)?([A-Z]\w*)', name, re.ASCII)
    if match is None:
        raise InvalidParameterError(f'type must be like package_name/{folder}/TypeName, not {shown(name)}')
    package, given, type_name = match.groups()
    if given != folder:
        raise InvalidParameterError(f'type must be one of a {folder} file, such as '
                                    f'{package}/{folder}/{type_name}, not {shown(name)}')
    if find_spec(package) is None:
        raise InvalidParameterError(f'type {name}: the package {package} is not installed, or not sourced')
    try:
        module = import_module(f'{package}.{folder}')
    except ModuleNotFoundError:
        raise InvalidParameterError(f'type {name}: {package} has no types in {folder}') from None
    except ImportError as error:
        raise InvalidParameterError(f'type {name}: {package}.{folder} cannot be imported: {error}') from None
    cls = getattr(module, type_name, None)
    if not isinstance(cls, type):
        known = [text for text in dir(module) if text[0].isupper()]
        close = get_close_matches(type_name, known, 1)
        raise InvalidParameterError(f'type {name} does not exist' + (f'; is it {package}/{folder}/{close[0]}?'
                                                                     if close else ''))
    return cls


def check_name(setting: str, name: str) -> None:
    """Raise InvalidParameterError if a setting's value cannot be the name of a topic, service or action."""
    try:
        validate_topic_name(name)
    except InvalidTopicNameException as error:
        raise InvalidParameterError(f'{setting}: {" ".join(str(error).split())}') from None


def type_name(cls: Any) -> str:
    """Return the name of a message's class, such as geometry_msgs/msg/Twist."""
    return f"{cls.__module__.rpartition('.')[0].replace('.', '/')}/{cls.__name__}"


def members(cls: Any) -> dict[str, Any]:
    """Return the fields of a message's class, each with its type of rosidl_parser.definition."""
    return dict(zip(cls.get_fields_and_field_types(), cls.SLOT_TYPES, strict=True))


def nested_class(kind: Any) -> Any:
    """Return the class of a field that is a message (rosidl_parser.definition.NamespacedType)."""
    return getattr(import_module('.'.join(kind.namespaces)), kind.name)
