# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Generate docs/parameters.md from the table in tinychat_ros/parameters.py, and the table in docs/agent.md.

A test checks that the pages are current.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tinychat_ros.agent.parameters import PARAMETERS as AGENT_PARAMETERS
from tinychat_ros.backend_parameters import PREFIX, REMOTE_PARAMETERS
from tinychat_ros.parameters import ALWAYS, Declared, NEVER, PARAMETERS, UNCONFIGURED

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'parameters.md'
AGENT_PAGE = PAGE.with_name('agent.md')
TITLES = {
    ALWAYS: 'Changeable at any time',
    UNCONFIGURED: 'Changeable while no model is loaded',
    NEVER: 'Set only when the node starts',
}
HEAD = """# Parameters of the chat node

`python3 tools/parameter_table.py` generates this page from [tinychat_ros/parameters.py](../tinychat_ros/parameters.py).
[config/chat.yaml](../config/chat.yaml) lists all parameters with their defaults. `ros2 param describe /tinychat NAME`
shows the same descriptions. The `sampling.…` parameters apply to goals that do not set them.

ROS reads parameter values as YAML:

- Where a number with decimals is expected, an integer works too (`time_limit:=30`). The node accepts any spelling of a
  number or boolean that has only one meaning.
- A string that looks like another type needs quotes that the shell does not remove: `-p "model:='1.10'"`, or in a file
  `model: '1.10'`. Without quotes, a decimal number or a word like `yes` is refused, and an integer is taken as a string
  with a warning.
- An empty string is `-p "system_prompt:=''"`.
- If you set a parameter that does not exist, the log names it.
- A parameter can always be set to the value that it already has. The node therefore loads its own `ros2 param dump`.
"""
NOTES = {
    ALWAYS: 'Goals that were accepted before keep the old value.',
    UNCONFIGURED: 'First `ros2 lifecycle set /tinychat deactivate` and `cleanup`, then `ros2 param set`, then '
                  '`configure` and `activate`.',
    NEVER: 'In the launch file, in a parameter file or on the command line.',
}


REMOTE = """
## Servers on other machines

For each name in `backends` except `local` ([fleet.md](fleet.md)). Changeable while no model is loaded.

| parameter | default | values | |
|---|---|---|---|
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for changes, title in TITLES.items():
        rows = [row(declared) for declared in PARAMETERS if declared.changes == changes]
        parts.append(f'\n## {title}\n\n{NOTES[changes]}\n\n| parameter | default | values | |\n|---|---|---|---|\n' +
                     ''.join(rows))
    rows = [row(replace(declared, name=f'{PREFIX}.NAME.{declared.name}')) for declared in REMOTE_PARAMETERS]
    parts.append(REMOTE + ''.join(rows))
    return ''.join(parts)


def agent_page() -> str:
    """Return docs/agent.md with the table of the agent's parameters, which is between two comments."""
    before, begin, rest = AGENT_PAGE.read_text().partition('<!-- parameters -->\n')
    _, end, after = rest.partition('<!-- end of the parameters -->\n')
    table = '| parameter | default | values | |\n|---|---|---|---|\n' + ''.join(map(row, AGENT_PARAMETERS))
    return f'{before}{begin}{table}{end}{after}'


def row(declared: Declared) -> str:
    """Return the table row of one parameter."""
    default = f'`{declared.default}`'.replace("'", '') if declared.default != '' else 'empty'
    if isinstance(declared.default, bool):
        default, values = f'`{str(declared.default).lower()}`', 'true, false'
    elif declared.choices:
        values = ', '.join(declared.choices)
    elif declared.low is not None and declared.high is not None:
        values = f'{number(declared.low)} … {number(declared.high)}'
    else:
        values = 'list of strings' if isinstance(declared.default, list) else 'string'
    return f'| `{declared.name}` | {default} | {values} | {declared.description} |\n'


def number(value: float) -> str:
    """Return a bound of a range in readable form."""
    powers = {2**31 - 1: '2³¹ - 1', 2**63 - 1: '2⁶³ - 1'}
    return powers.get(int(value), f'{value:g}')


if __name__ == '__main__':
    PAGE.write_text(page())
    AGENT_PAGE.write_text(agent_page())
