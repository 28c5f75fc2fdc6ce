# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Write docs/parameters.md from the node's own table; a test holds the two together."""

from __future__ import annotations

from pathlib import Path

from tinychat_ros.parameters import ALWAYS, Declared, NEVER, PARAMETERS, UNCONFIGURED

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'parameters.md'
TITLES = {
    ALWAYS: 'Change at any time',
    UNCONFIGURED: 'Change while no model is loaded',
    NEVER: 'Are set when the node starts',
}
HEAD = """# Parameters of the chat node

Made from [tinychat_ros/parameters.py](../tinychat_ros/parameters.py) by `python3 tools/parameter_table.py`.
[config/chat.yaml](../config/chat.yaml) has all of them with their defaults, and `ros2 param describe /tinychat NAME`
tells the same as this page.

ROS reads values as YAML. A whole number is taken for a real one (`time_limit:=30`), and any spelling of a number or a
truth value that can mean one thing only for what it means. A text that looks like something else needs quotes that
the shell leaves: `-p "model:='1.10'"`, in a file `model: '1.10'`. Without them a real number or a word like `yes` is
refused, and a whole number is taken with a warning. An empty text is `-p "system_prompt:=''"`. The log names each
start value that belongs to no parameter. A parameter may always be set to the value that it has, so the node takes
its own `ros2 param dump` back.
"""
NOTES = {
    ALWAYS: 'A goal that was accepted before keeps the old value.',
    UNCONFIGURED: '`ros2 lifecycle set /tinychat deactivate`, `cleanup`, `ros2 param set`, `configure`, `activate`.',
    NEVER: 'From the launch file, a parameter file or the command line.',
}


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for changes, title in TITLES.items():
        rows = [row(declared) for declared in PARAMETERS if declared.changes == changes]
        parts.append(f'\n## {title}\n\n{NOTES[changes]}\n\n| parameter | default | values | |\n|---|---|---|---|\n' +
                     ''.join(rows))
    return ''.join(parts)


def row(declared: Declared) -> str:
    """Return the line of one parameter."""
    default = f'`{declared.default}`' if declared.default != '' else 'empty'
    if isinstance(declared.default, bool):
        default, values = f'`{str(declared.default).lower()}`', 'true, false'
    elif declared.choices:
        values = ', '.join(declared.choices)
    elif declared.low is not None and declared.high is not None:
        values = f'{number(declared.low)} … {number(declared.high)}'
    else:
        values = 'text'
    return f'| `{declared.name}` | {default} | {values} | {declared.description} |\n'


def number(value: float) -> str:
    """Return a bound as people write it."""
    powers = {2**31 - 1: '2³¹ - 1', 2**63 - 1: '2⁶³ - 1'}
    return powers.get(int(value), f'{value:g}')


if __name__ == '__main__':
    PAGE.write_text(page())
