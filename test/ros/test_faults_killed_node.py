# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The node is killed in mid-answer: the client ends with an error, and does not wait for ever."""

from __future__ import annotations

import os
from typing import Any

from processes import client_process, IMPATIENT, STORY
import pytest


def check_the_client_ends(start_node: Any, environment: dict[str, str], seconds: float) -> None:
    node, namespace = start_node(env=environment)
    asking = client_process(namespace, STORY, '--max-new-tokens', '4000', env=environment)
    asking.says(' the ')
    node.process.kill()
    assert asking.ends(seconds) == 1
    assert asking.output.endswith('chat_client: the node has disappeared\n')


@pytest.mark.slow
def test_with_quick_discovery(start_node: Any) -> None:
    check_the_client_ends(start_node, os.environ | IMPATIENT, 20)


@pytest.mark.large
def test_within_25_seconds(start_node: Any) -> None:
    check_the_client_ends(start_node, dict(os.environ), 25)
