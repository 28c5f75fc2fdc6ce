# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The dialogues of tasks with a conversation_id. Knows nothing of ROS."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

MOST_CONVERSATIONS = 100
MOST_MESSAGES = 200  # of a conversation; the oldest tasks are forgotten


class Memory:
    """The messages of the tasks of each conversation."""

    def __init__(self) -> None:
        """Begin empty."""
        self._tasks: OrderedDict[str, list[list[Any]]] = OrderedDict()

    def tasks(self, conversation_id: str) -> list[list[Any]]:
        """Return the messages of each task of a conversation, oldest first; the list is the conversation's own."""
        return self._tasks.get(conversation_id, [])

    def add(self, conversation_id: str, messages: list[Any]) -> None:
        """Remember a task that is complete: its last message is the model's report."""
        if not conversation_id:
            return
        tasks = self._tasks.setdefault(conversation_id, [])
        tasks.append(messages)
        while len(tasks) > 1 and sum(map(len, tasks)) > MOST_MESSAGES:
            del tasks[0]
        self._tasks.move_to_end(conversation_id)
        while len(self._tasks) > MOST_CONVERSATIONS:
            self._tasks.popitem(last=False)
