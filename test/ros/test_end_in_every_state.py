# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM ends the node, whatever it is doing, and its last resort is not needed."""

from __future__ import annotations

import json
from pathlib import Path
import shutil
import signal
from time import sleep
from typing import Any

from processes import BIN, new_namespace, Process
import pytest
import rclpy
from rclpy.action import ActionClient

from tinychat_core.checkpoint import manifest as manifests
from tinychat_core.checkpoint.checksums import checksum
from tinychat_ros.interfaces import Chat

SCHEMA = '{"allOf":[{"type":"integer","multipleOf":9973},{"multipleOf":9967}]}'
WORK: dict[str, dict[str, Any]] = {
    'a prefill': {'prompt': 'word ' * 4000},
    'an answer': {'prompt': 'Write a very long story about a robot.', 'max_new_tokens': 4000},
    'a schema that takes for ever': {'prompt': 'A number, please.', 'json_schema': SCHEMA},
    'an expression that takes for ever': {'prompt': 'Letters, please.', 'regex': '(a{1,1000}){1,1000}'},
    'a text that is far too long': {'prompt': '7' * 2_000_000},
}


def ask(namespace: str, **fields: Any) -> None:
    """Send a goal and return once the node has answered whether it takes it; nobody waits for the result."""
    node = rclpy.create_node('asker', namespace=namespace)
    client: ActionClient[Any, Any, Any] = ActionClient(node, Chat, 'tinychat/chat')
    assert client.wait_for_server(30)
    rclpy.spin_until_future_complete(node, client.send_goal_async(Chat.Goal(**fields)), timeout_sec=30)
    client.destroy()
    node.destroy_node()


def ends_by_itself(node: Process) -> None:
    """Send SIGTERM and check that the node ends, and not by its last resort."""
    node.send_signal(signal.SIGTERM)
    code = node.ends()
    assert 'has not ended within' not in node.output
    assert code == 0, node.output[-2000:]
    assert 'Traceback' not in node.output


@pytest.mark.parametrize('work', WORK)
def test_while_it_works(start_node: Any, work: str) -> None:
    node, namespace = start_node()
    ask(namespace, **WORK[work])
    sleep(0.2)  # in the middle of it, as a rule; wherever it is, the same must hold
    ends_by_itself(node)


@pytest.mark.parametrize('seconds', [0.0, 0.2, 0.5, 1.0])
def test_while_it_starts(smollm2_checkpoint: Path, seconds: float) -> None:
    node = Process(str(BIN / 'chat_node'), '--ros-args', '-r', f'__ns:={new_namespace()}',
                   '-p', f'model:={smollm2_checkpoint}')
    sleep(seconds)
    node.send_signal(signal.SIGTERM)
    # Before its handlers are there the signal ends Python itself.
    assert node.ends() in (0, -signal.SIGTERM)
    assert 'has not ended within' not in node.output


def with_template(checkpoint: Path, template: str, out: Path) -> Path:
    """Return a copy of a checkpoint with another chat template, and checksums that fit."""
    shutil.copytree(checkpoint, out, symlinks=True)
    content = json.loads((out / manifests.NAME).read_text())
    content.pop('checksum')
    (out / 'chat_template.jinja').write_text(template)
    content['files']['chat_template.jinja'] = checksum(template.encode())
    (out / manifests.NAME).write_text(json.dumps({**content, 'checksum': manifests._checksum(content)}))
    return out


def test_while_a_template_runs(start_node: Any, smollm2_checkpoint: Path, tmp_path: Path) -> None:
    template = ('{% for m in messages %}{% if m.content == "slow" %}{% for i in range(90000) %}'
                '{% for j in range(90000) %}{% endfor %}{% endfor %}{% endif %}{{ m.content }}{% endfor %}')
    node, namespace = start_node(checkpoint=with_template(smollm2_checkpoint, template, tmp_path / 'model'))
    ask(namespace, prompt='slow')
    sleep(0.2)
    ends_by_itself(node)
