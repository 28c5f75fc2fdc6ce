# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What people say to the robot stays out of its log."""

from __future__ import annotations

import signal
from typing import Any

from processes import client_process


def test_no_word_of_prompt_or_answer_at_info(start_node: Any) -> None:
    node, namespace = start_node('-p', 'max_seq_len:=64', '-p', 'system_prompt:=Speak of saffron.')
    for arguments, code in ((('Say saffron.', '--max-new-tokens', '9'), 0),
                            (('saffron', '--max-new-tokens', '0'), 1),
                            (('saffron', '--system', 'saffron', '--stop', ''), 1),
                            (('saffron ' * 100,), 1)):
        asking = client_process(namespace, *arguments)
        assert asking.ends() == code, asking.output
    node.send_signal(signal.SIGTERM)
    assert node.ends() == 0
    assert 'goal rejected: ' in node.output
    assert 'affron' not in node.output
