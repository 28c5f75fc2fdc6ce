# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The node is killed in mid-answer: the client ends with an error, and does not wait for ever."""

from __future__ import annotations

import os
from typing import Any

from processes import client_process, IMPATIENT, STORY
import pytest


def check_the_clients_end(start_node: Any, environment: dict[str, str], seconds: float, clients: int = 1) -> None:
    node, namespace = start_node('-p', f'parallel:={clients}', env=environment)
    asking = [client_process(namespace, STORY, '--max-new-tokens', '4000', env=environment) for _ in range(clients)]
    for client in asking:
        client.says(' the ')
    node.process.kill()
    for client in asking:
        assert client.ends(seconds) == 1
        assert client.output.endswith('chat_client: the node has disappeared\n')


@pytest.mark.slow
@pytest.mark.parametrize('clients', [1, 4])
def test_with_quick_discovery(start_node: Any, clients: int) -> None:
    check_the_clients_end(start_node, os.environ | IMPATIENT, 20, clients)


@pytest.mark.large
def test_within_25_seconds(start_node: Any) -> None:
    check_the_clients_end(start_node, dict(os.environ), 25)
