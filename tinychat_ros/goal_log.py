# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the node's log says of a request that has ended. Never any text of a prompt or an answer."""

from __future__ import annotations

from time import monotonic
from typing import Any

from tinychat_core.serving.results import ChatResult, ErrorCode


def log_end(logger: Any, name: str, result: ChatResult, accepted_at: float) -> None:
    """Log one line about a request that was accepted at a moment of the monotonic clock, and why the backend failed."""
    if result.error_code is ErrorCode.BACKEND_FAILED:
        logger.error(result.error_message)
    logger.info(f'{name}: {result.summary(monotonic() - accepted_at)}')
