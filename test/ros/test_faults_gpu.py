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


def answers(checkpoint: Path, fault: str, *counts: int) -> tuple[list[tuple[int, str]], str]:
    """Return exit codes and outputs of clients, so many at a time, and what the node logged."""
    namespace = new_namespace()
    environment = {**os.environ, 'TINYCHAT_CUDA_LIBRARY': str(LIBRARY), 'TINYCHAT_FAKE_CUDA': fault}
    node = node_process(namespace, checkpoint, '-p', 'backend:=cuda', '-p', 'max_seq_len:=64', '-p', 'parallel:=4',
                        env=environment)
    found = []
    try:
        for count in counts:
            clients = [client_process(namespace, 'Hi', '--max-new-tokens', '6') for _ in range(count)]
            found += [(client.ends(), client.output) for client in clients]
    finally:
        node.process.terminate()
        node.ends()
    return found, node.output


def without_figures(answer: tuple[int, str]) -> tuple[int, str]:
    code, output = answer
    return code, output.rpartition('[')[0]


def model(folder: Path) -> Path:
    checkpoint = write(folder / 'model')
    (checkpoint / 'chat_template.jinja').write_text('{% for message in messages %}{{ message.content }}{% endfor %}')
    return checkpoint


def test_the_goal_is_aborted_and_the_next_one_is_answered(tmp_path: Path) -> None:
    checkpoint = model(tmp_path)
    (expected,), _ = answers(checkpoint, '', 1)
    assert expected[0] == 0
    (failed, *others), log = answers(checkpoint, 'fault=50', 1, 1, 1)
    assert failed[0] == 1 and 'aborted] the CUDA device failed at ' in failed[1] and REASON in failed[1]
    assert REASON in log
    assert [without_figures(answer) for answer in others] == 2 * [without_figures(expected)]


def test_each_of_four_goals_has_its_end(tmp_path: Path) -> None:
    """Those in the pass that failed are aborted, those that come later are answered, and so is the next one."""
    checkpoint = model(tmp_path)
    (expected,), _ = answers(checkpoint, '', 1)
    (*four, last), log = answers(checkpoint, 'fault=50', 4, 1)
    aborted = [output for code, output in four if code == 1]
    assert aborted and all(REASON in output for output in aborted) and REASON in log
    assert {without_figures(answer) for answer in [*four, last] if answer[0] != 1} == {without_figures(expected)}
    assert last[0] == 0
