# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The agent's launch file with `ros2 launch`: the tools file reaches the node, and a wrong one is one line."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
from threading import Timer

from launched import LAUNCH
import pytest

EXAMPLES = LAUNCH.parent / 'examples'


def launch(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(['ros2', 'launch', str(LAUNCH / 'agent.launch.py'), *arguments], env=os.environ, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_it_is_ready_and_ends_with_the_launch() -> None:
    running = launch(f"tools_file:={EXAMPLES / 'agent_tools.yaml'}", 'dry_run:=true', 'namespace:=kitchen')
    last_resort = Timer(60.0, running.kill)
    last_resort.start()
    assert running.stdout is not None
    output = ''
    for line in running.stdout:
        output += line
        if 'ready' in line:
            running.send_signal(signal.SIGINT)
    last_resort.cancel()
    assert '[kitchen.tinychat_agent]: ready, dry run, 6 tools: drive, turn, light' in output
    running.wait()
    assert 'process has finished cleanly' in output


@pytest.mark.parametrize(('content', 'reason'), [
    (None, 'is missing'), ('tools: 3', 'tools: expected array'), ('{tools: [{name: a, name: b}]}', 'is there twice'),
])
def test_a_wrong_file_is_one_line(tmp_path: Path, content: str | None, reason: str) -> None:
    tools = tmp_path / 'tools.yaml'
    if content is not None:
        tools.write_text(content)
    running = launch(f'tools_file:={tools}')
    output, _ = running.communicate(timeout=60)
    assert output.count(reason) == 1 and 'Traceback' not in output
