# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""API keys: one line in a file or in an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

from tinychat_core.errors import TinyChatError
from tinychat_core.regular_file import read_file

_LONGEST = 1024
_READABLE_BY_OTHERS = 0o044


def read_api_key(file: str, variable: str) -> str:
    """
    Return the key in the file, or without a file in the environment variable; '' if there is neither.

    Raises TinyChatError if the file cannot be read or has no key, and for a key that does not fit into a header.
    """
    if file:
        key, source = read_file(Path(file)).decode('latin-1').strip(), f'the file {file}'
    else:
        key, source = os.environ.get(variable, '').strip(), f'the variable {variable}'
    is_usable = key.isascii() and key.isprintable() and ' ' not in key and len(key) <= _LONGEST
    if not is_usable or (file and not key):
        raise TinyChatError(f'{source} has no usable API key: write one line of 1 .. {_LONGEST} letters, digits or '
                            'marks')
    return key


def is_readable_by_others(file: str) -> bool:
    """Return whether other users than the owner may read a file."""
    return bool(Path(file).stat().st_mode & _READABLE_BY_OTHERS)
