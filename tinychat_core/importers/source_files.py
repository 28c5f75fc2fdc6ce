# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""JSON files of a source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinychat_core.errors import TinyChatError
from tinychat_core.regular_file import read_file


def read_json(directory: Path, name: str) -> dict[str, Any]:
    """Return the object in a JSON file; TinyChatError where the file is missing or does not contain an object."""
    path = directory / name
    try:
        content = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise TinyChatError(f'{path} is damaged ({error}); get the file again') from None
    if not isinstance(content, dict):
        raise TinyChatError(f'{path} is damaged (it is not a JSON object); get the file again')
    return content
