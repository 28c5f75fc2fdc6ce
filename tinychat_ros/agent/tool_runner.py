# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Checks whether a call of the model may be made, and makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
import json
from time import monotonic
from typing import Any, Protocol

from tinychat_core.errors import InvalidParameterError, one_line, shown
from tinychat_ros.agent.caller import Caller, CallFailedError
from tinychat_ros.agent.wakeup import Wakeup
from tinychat_ros.interfaces import TaskStep


class Confirms(Protocol):
    """Asks a person."""

    def ask(self, call_id: str, wakeup: Wakeup) -> str:
        """Return why the call may not begin, or ''."""


@dataclass
class Outcome:
    """How a call ended: a status of TaskStep, and what the model is told."""

    status: int
    told: dict[str, Any]


class RefusedError(Exception):
    """The call is not made; the model is told why."""


class ToolRunner:
    """
    Runs the calls of one task after another.

    `callers`: by the name of the tool. `most_identical`: how often a task may make the same call with the same
    arguments. `is_dry`: nothing is sent to the robot; topics are read.
    """

    def __init__(self, callers: Mapping[str, Caller], confirmation: Confirms, most_identical: int, is_dry: bool,
                 now: Callable[[], Any]) -> None:
        """Begin with no task; `now` gives the time for messages."""
        self.is_dry = is_dry
        self._callers = callers
        self._confirmation = confirmation
        self._most_identical = most_identical
        self._now = now
        self._begun: dict[str, float] = {}  # when the last call of a tool began, in any task
        self._calls: Counter[str] = Counter()
        self._identical: Counter[str] = Counter()

    def begin_task(self) -> None:
        """Reset the counters of a task."""
        self._calls.clear()
        self._identical.clear()

    def interface(self, name: str) -> str:
        """Return the service, action or topic of a tool, or ''."""
        return self._callers[name].interface if name in self._callers else ''

    def run(self, call_id: str, name: str, arguments: str, wakeup: Wakeup, on_wait: Callable[[], None]) -> Outcome:
        """
        Check a call and make it; `on_wait` is called when it waits for a person.

        Raises TaskEnded if the task ends meanwhile.
        """
        try:
            caller, values, duration = self._checked(name, arguments)
            if caller.tool.spec.confirm and not self.is_dry:
                on_wait()
                refusal = self._confirmation.ask(call_id, wakeup)
                if refusal:
                    raise RefusedError(refusal)
                self._check_motion(caller)
        except RefusedError as error:
            return Outcome(TaskStep.REFUSED, {'ok': False, 'error': one_line(str(error))})
        self._calls[name] += 1
        self._begun[name] = monotonic()
        if self.is_dry and caller.tool.spec.kind != 'read':
            return Outcome(TaskStep.SUCCEEDED, {'ok': True, 'dry_run': True})
        try:
            return Outcome(TaskStep.SUCCEEDED, {'ok': True, **caller.call(values, duration, wakeup)})
        except CallFailedError as error:
            told = {'ok': False, 'error': str(error), **({} if error.data is None else {'data': error.data})}
            return Outcome(TaskStep.FAILED, told)

    def _checked(self, name: str, arguments: str) -> tuple[Caller, dict[str, Any], float]:
        caller = self._callers.get(name)
        if caller is None:
            close = get_close_matches(name, self._callers, 1)
            raise RefusedError(f'there is no function {shown(name)}' + (
                f'; is it {close[0]}?' if close else f'; there are {", ".join(self._callers)}'))
        try:
            values, duration = caller.tool.read(arguments, self._now())
        except InvalidParameterError as error:
            raise RefusedError(str(error)) from None
        same = json.dumps([name, values, duration], sort_keys=True)
        self._identical[same] += 1
        if self._identical[same] > self._most_identical:
            raise RefusedError(f'the same call with the same arguments was made {self._most_identical} times already; '
                               'do something else, or say that the task cannot be done')
        spec = caller.tool.spec
        if spec.max_calls is not None and self._calls[name] >= spec.max_calls:
            raise RefusedError(f'{name} may be called {spec.max_calls} times in a task, and was')
        left = spec.min_interval - (monotonic() - self._begun[name]) if name in self._begun else 0.0
        if left > 0:
            raise RefusedError(f'{name} may be called every {spec.min_interval:g} s; try again in {left:.1f} s')
        self._check_motion(caller)
        return caller, values, duration

    def _check_motion(self, caller: Caller) -> None:
        """Refuse a motion while another motion, which the agent has abandoned, still runs."""
        if not caller.tool.spec.is_motion:
            return
        for name, other in self._callers.items():
            if other.tool.spec.is_motion and other.is_running:
                raise RefusedError(f'{name} still runs, and the robot does one motion at a time')
