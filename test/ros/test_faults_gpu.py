# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU fails in the middle of an answer: the goal is aborted with the reason, and the node goes on answering."""

from __future__ import annotations

import os
from pathlib import Path

from core.small_checkpoint import write
from cuda.cuda_on_host import LIBRARY
from processes import client_process, new_namespace, node_process

REASON = 'an illegal memory access was encountered (cudaErrorIllegalAddress)'


def answers(checkpoint: Path, fault: str, count: int) -> tuple[list[tuple[int, str]], str]:
    """Return exit codes and outputs of clients, one after the other, and what the node logged."""
    namespace = new_namespace()
    environment = {**os.environ, 'TINYCHAT_CUDA_LIBRARY': str(LIBRARY), 'TINYCHAT_FAKE_CUDA': fault}
    node = node_process(namespace, checkpoint, '-p', 'backend:=cuda', '-p', 'max_seq_len:=64', env=environment)
    found = []
    try:
        for _ in range(count):
            client = client_process(namespace, 'Hi', '--max-new-tokens', '6')
            found.append((client.ends(), client.output))
    finally:
        node.process.terminate()
        node.ends()
    return found, node.output


def without_figures(answer: tuple[int, str]) -> tuple[int, str]:
    code, output = answer
    return code, output.rpartition('[')[0]


def test_the_goal_is_aborted_and_the_next_one_is_answered(tmp_path: Path) -> None:
    checkpoint = write(tmp_path / 'model')
    (checkpoint / 'chat_template.jinja').write_text('{% for message in messages %}{{ message.content }}{% endfor %}')
    (expected,), _ = answers(checkpoint, '', 1)
    assert expected[0] == 0
    (failed, *others), log = answers(checkpoint, 'fault=50', 3)
    assert failed[0] == 1 and 'aborted] the CUDA device failed at ' in failed[1] and REASON in failed[1]
    assert REASON in log
    assert [without_figures(answer) for answer in others] == 2 * [without_figures(expected)]
