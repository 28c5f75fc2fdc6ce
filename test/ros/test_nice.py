# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A nice node leaves the processor to whoever wants it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from processes import client_process as client


def test_decoding_threads_are_nice_and_the_middleware_is_not(start_node: Any) -> None:
    node, namespace = start_node('-p', 'nice:=7')
    assert client(namespace, 'Hello', '--max-new-tokens', '3').ends() == 0
    threads = [int(task.name) for task in Path(f'/proc/{node.process.pid}/task').iterdir()]
    own = os.getpriority(os.PRIO_PROCESS, 0)
    niceness = {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}
    assert niceness == {own, min(own + 7, 19)}  # Linux goes up to 19
