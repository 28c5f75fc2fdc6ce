# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A client stands still for longer than the node keeps in touch with it, and goes on."""

from __future__ import annotations

import os
import signal
from time import sleep
from typing import Any

from processes import client_process, IMPATIENT, STORY
import pytest


def check_both_go_on(start_node: Any, environment: dict[str, str], seconds: float, tokens: int) -> None:
    _, namespace = start_node(env=environment)
    asking = client_process(namespace, STORY, '--max-new-tokens', str(tokens), env=environment)
    asking.says(' the ')
    asking.send_signal(signal.SIGSTOP)
    sleep(seconds)
    other = client_process(namespace, 'Hello', '--max-new-tokens', '3', env=environment)
    assert other.ends(600) == 0  # it waits for its turn behind the long answer
    asking.send_signal(signal.SIGCONT)
    # It gets the whole text, or an error that the node no longer has the result.
    code = asking.ends(600)
    assert (code == 0 and f'[{tokens} tokens' in asking.output) or (
        code == 1 and asking.output.endswith('chat_client: the node no longer has the result\n'))


@pytest.mark.slow
def test_with_quick_discovery(start_node: Any) -> None:
    check_both_go_on(start_node, os.environ | IMPATIENT, 5, 200)


@pytest.mark.large
@pytest.mark.parametrize('tokens', [200, 6000])
def test_for_25_seconds(start_node: Any, tokens: int) -> None:
    """The first answer has ended and is forgotten meanwhile, the second one goes on."""
    check_both_go_on(start_node, dict(os.environ), 25, tokens)
