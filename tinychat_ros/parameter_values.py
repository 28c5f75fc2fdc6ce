# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The value that was meant, where YAML made another type of it. Knows nothing of ROS.

Command lines, parameter files and `ros2 param set` read values as YAML, which takes 0 for an integer, `yes` for a
truth value and, in Python's reader, 1e-3 for a text.
"""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any

from tinychat_core.errors import shown

Value = str | int | float | bool | list[str]

# YAML 1.1's truth values, for a text that was quoted.
TRUE, FALSE = ('true', 'yes', 'on', 'y', '1'), ('false', 'no', 'off', 'n', '0')
# YAML's ways to say nothing, which ROS reads as texts.
NOTHING = ('~', 'null', 'Null', 'NULL')


def convert(name: str, value: Any, kind: type[Value], warn: Callable[[str], object]) -> Value:
    """
    Return `value` as the type `kind` of the parameter `name`, where it can mean one thing only.

    `warn` is told what was assumed. Raises ValueError with one line that says what to write.
    """
    if kind is str:
        return _text(name, value, warn)
    if kind is list:
        return _texts(name, value)
    meant = {bool: _truth, int: _integer, float: _real}[kind](value)
    if meant is None:
        expected = {bool: 'true or false', int: 'a whole number', float: 'a number'}[kind]
        raise ValueError(f'{name} must be {expected}, not {_shown(value)}')
    return meant


def _text(name: str, value: Any, warn: Callable[[str], object]) -> str:
    if value in NOTHING:
        warn(f"{name}: {value} is YAML's null and is used as an empty string; write '' instead")
        return ''
    if isinstance(value, str):
        return value
    # It may have been written as 007 or 0x7. Of a truth value or a real number, more than that is lost.
    if isinstance(value, int) and not isinstance(value, bool):
        warn(f"{name}: the number {value} is used as the string '{value}'; to pass a string, "
             f'{_quote(name, str(value))}')
        return str(value)
    example = 'yes' if isinstance(value, bool) else str(value) if isinstance(value, float) else 'a text'
    raise ValueError(f'{name} must be a string, not {_shown(value)}; to pass a string, {_quote(name, example)}')


def _texts(name: str, value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f'{name} must be a list of strings, like [one, two]')
    return list(texts)


def _quote(name: str, text: str) -> str:
    key = name.rpartition('.')[2]
    return f"""write quotes that the shell does not remove: -p "{name}:='{text}'", in a file {key}: '{text}'"""


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, (str, int)) else ''
    return True if word in TRUE else False if word in FALSE else None


def _integer(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    number = _real(value)
    # Up to where a double still knows every whole number.
    return int(number) if number is not None and number.is_integer() and abs(number) <= 2**53 else None


def _real(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shown(value: Any) -> str:
    if value is None:
        return 'nothing'
    if isinstance(value, bool):
        return f'the boolean {str(value).lower()}'
    if isinstance(value, (list, tuple)) or not isinstance(value, (int, float, str)):
        return 'a list'
    return shown(value) if isinstance(value, str) else f'the number {shown(value)}'
