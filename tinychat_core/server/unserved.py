# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Refuses, by name, fields that a client may send but that the core does not serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinychat_core.errors import shown
from tinychat_core.server.errors import not_served


def refuse_unserved(asked: object, fields: Mapping[str, Sequence[Any]], place: str = '') -> None:
    """Raise ApiError for a field whose value has an effect: neither None nor one of the given values."""
    for name, nothing in fields.items():
        value = getattr(asked, name, None)
        if value is not None and not any(type(value) is type(each) and value == each for each in nothing):
            raise not_served(place + name, f'{place}{name}: {shown(value)} is not served')
