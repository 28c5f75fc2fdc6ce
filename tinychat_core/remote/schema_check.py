# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that what a server returns matches the schema that it was asked for; not every server enforces it."""

from __future__ import annotations

import asyncio

from tinychat_core.errors import shown
from tinychat_core.remote.outcomes import Failed
from tinychat_core.workers.worker import Worker, WorkerFailedError

_CHECKER = Worker('tinychat_core.workers.json_check', 256 << 20)
_SECONDS = 0.5  # of CPU time


async def check_matches(text: str, schema: str, what: str) -> None:
    """Raise Failed unless a text is JSON that matches a schema; `what` names the text."""
    try:
        reply, _ = await asyncio.to_thread(_CHECKER.ask, {'schema': schema, 'text': text}, _SECONDS)
    except WorkerFailedError as error:
        raise Failed(f'{what} could not be checked: it {error}') from None
    if reply.get('error'):
        raise Failed(f'{what} does not match its schema: {shown(reply["error"])}')
