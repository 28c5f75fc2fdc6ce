# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Parses sizes in bytes with units."""

from __future__ import annotations

import re

from tinychat_core.errors import InvalidParameterError, shown


def parse_size(text: str, name: str) -> int:
    """Return the bytes of a size like 8GiB (1024) or 500MB (1000); InvalidParameterError otherwise."""
    match = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?', text.strip(), re.IGNORECASE | re.ASCII)
    if not match or len(text) > 40:
        raise InvalidParameterError(f'{name} takes a size like 8GiB or 500MB, not {shown(text)}')
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** ' KMGT'.index(prefix.upper() or ' '))
