# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What may stand beside a keyword of a JSON schema, and numbers that llguidance can keep exactly."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import prod
from typing import Any

from tinychat_core.errors import shown
from tinychat_core.json_schema.keywords import refuse

_EXACT = 2**53  # llguidance computes with doubles


def check_values(values: Iterable[Any], path: str) -> None:
    """Refuse values that an answer could not be held to."""
    for value in values:
        if isinstance(value, (int, float)) and not abs(value) <= _EXACT:
            refuse(path, f'the number {shown(value)} is beyond {_EXACT}, which cannot be represented exactly')
        if isinstance(value, str) and any(ord(c) < 32 and c not in '\b\f\n\r\t' for c in value):
            refuse(path, f'the string {shown(value)} has control characters')
        if isinstance(value, (list, dict)):
            check_values([*value, *value.values()] if isinstance(value, dict) else value, path)


def check_multiples(multiples: Sequence[float]) -> None:
    """
    Refuse multiples whose least common one has more than 32 bits.

    llguidance multiplies them so where several hold at once, and does not notice.
    """
    values = {Fraction(str(value)) for value in multiples}
    if len(multiples) > 1:
        scale = prod({value.denominator for value in values})
        least = prod(int(value * scale) for value in values)
        again = int(max(values) * scale) if len(values) < len(multiples) else 1
        if scale > 10**9 or least * again >= 2**32:
            refuse('#', "several 'multipleOf' are too large to be enforced together; write their common multiple")


def put_counts(schema: dict[str, Any], keywords: Iterable[str], path: str, new: dict[str, Any]) -> None:
    """Copy keywords that are whole numbers from 0."""
    for keyword in keywords:
        if keyword in schema:
            value = schema[keyword]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != int(value):
                refuse(path, f'{keyword} must be an integer of at least 0, not {shown(value)}')
            new[keyword] = int(value)


def a_list(value: Any, keyword: str, path: str) -> list[Any]:
    """Return a value that has to be a list."""
    if not isinstance(value, list):
        refuse(path, f'{keyword} must be a list, not {shown(value)}')
    return value


def a_text(value: Any, keyword: str, path: str) -> str:
    """Return a value that has to be a text."""
    if not isinstance(value, str):
        refuse(path, f'{keyword} must be a string, not {shown(value)}')
    return value
