# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the node's log says of a goal that has ended. Never any text of a prompt or an answer."""

from __future__ import annotations

from time import monotonic
from typing import Any
from uuid import UUID

from tinychat_core.serving.results import ChatResult, ErrorCode


def log_end(logger: Any, request_id: UUID, result: ChatResult, accepted_at: float) -> None:
    """Log one line about a goal that was accepted at a moment of the monotonic clock, and why the backend failed."""
    if result.error_code is ErrorCode.BACKEND_FAILED:
        logger.error(result.error_message)
    logger.info(_summary(request_id, result, monotonic() - accepted_at))


def _summary(request_id: UUID, result: ChatResult, seconds: float) -> str:
    reason = f' ({result.error_code.name})' if result.error_code else ''
    return (f'goal {request_id}: {result.finish_reason.value}{reason}, {result.prompt_tokens} prompt tokens '
            f'({result.reused_tokens} reused), {result.new_tokens} new, {seconds:.2f} s ({result.queue_time:.2f} s '
            'waiting)')
