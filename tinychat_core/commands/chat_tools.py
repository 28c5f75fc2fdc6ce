# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tools in `tinychat chat`: the person at the terminal plays their part, and types what each call returns."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from tinychat_core.errors import InvalidParameterError
from tinychat_core.regular_file import read_file

if TYPE_CHECKING:
    from tinychat_core.text.tool_calls.tools import ToolCall, ToolUse


def read_tools(path: str) -> ToolUse:
    """Return the tools of a JSON file, an array as in OpenAI's `tools`; '' for none. Raises InvalidParameterError."""
    from tinychat_core.text.tool_calls.tools import NO_TOOLS, tool_use

    if not path:
        return NO_TOOLS
    try:
        use = tool_use(read_file(Path(path)).decode())
    except UnicodeDecodeError:
        raise InvalidParameterError(f'{path}: the file is not UTF-8') from None
    except InvalidParameterError as error:
        raise InvalidParameterError(f'{path}: {error}') from None
    if not use.tools:
        raise InvalidParameterError(f"{path}: there are no tools; write a JSON array as in OpenAI's tools")
    return use


def print_calls(calls: Sequence[ToolCall]) -> None:
    """Print each call on a line of its own: the name and the arguments in JSON."""
    for call in calls:
        print(f'{call.name} {call.arguments}', flush=True)


def ask_for_results(calls: Sequence[ToolCall]) -> list[dict[str, str]] | None:
    """Return the results as messages of role tool, a line from stdin for each call; None at the end of stdin."""
    results = []
    for call in calls:
        try:
            text = input(f'result of {call.name}> ' if sys.stdin.isatty() else '')
        except EOFError:
            return None
        results.append({'role': 'tool', 'tool_call_id': call.id, 'content': text})
    return results
