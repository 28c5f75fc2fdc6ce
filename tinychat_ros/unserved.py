# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Fields of the interfaces that nothing serves yet: each is refused with that reason, never ignored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinychat_ros.interfaces import Chat


def unserved_field(goal: Chat.Goal) -> str:
    """Return why a goal's value is impossible or not served yet, naming the field; '' for a goal that can be served."""
    return next(_in_goal(goal), '')


def _in_goal(goal: Chat.Goal) -> Iterator[str]:
    if goal.adapter:
        yield _not_yet('adapter')
    yield from _in_sampling(goal.sampling)


def _in_sampling(sampling: Any) -> Iterator[str]:
    for name, off in (('frequency_penalty', (0.0,)), ('presence_penalty', (0.0,)), ('typical_p', (-1.0, 1.0))):
        if getattr(sampling, name) not in off:  # NaN is in none
            yield _not_yet(f'sampling.{name}', f'leave it at {off[0]:g}')
    for name in ('bias_tokens', 'bias_values'):
        if len(getattr(sampling, name)):
            yield _not_yet(f'sampling.{name}')


def _not_yet(field: str, what_to_do: str = 'leave it empty') -> str:
    return f'{field} is not served by this version; {what_to_do}'
