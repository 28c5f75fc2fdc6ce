# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""No callback ends the node: its error is logged, its caller gets an answer that says so, the executor goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from time import monotonic
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from tinychat_core.boundary import is_defect
from tinychat_core.errors import one_line, shown

# Errors within so many seconds that make the executor itself the culprit.
MOST_ERRORS, ERRORS_PERIOD = 100, 5.0
MOST_REMEMBERED = 100


def guard_services(node: Node) -> None:
    """
    Let every service of a node answer whatever its callback raises, those of rclpy included.

    A request that sets parameters of a type that does not exist is refused as a whole: rclpy would set those before it,
    and then raise. Call it once all services are there.
    """
    log = OnceLog(node)
    for service in node.services:
        service.callback = _guarded(service.callback, service.srv_name, log)


class OnceLog:
    """Logs an error the first time that it occurs; a client may cause the same one again and again."""

    def __init__(self, node: Node) -> None:
        """Log to a node's logger."""
        self._node = node
        self._told: set[str] = set()

    def error(self, message: str) -> None:
        """Log a message as one line."""
        message = one_line(message)
        if message not in self._told and len(self._told) < MOST_REMEMBERED:
            self._told.add(message)
            self._node.get_logger().error(message)


def spin(executor: Any, node: Node, is_over: Callable[[], bool]) -> BaseException | None:
    """
    Spin until `is_over`, or the executor is shut down; what a callback raises does not end it.

    Returns the error where one comes again and again: then it is the executor's own.
    """
    log = OnceLog(node)
    errors: deque[float] = deque(maxlen=MOST_ERRORS)
    while not is_over():
        try:
            executor.spin()
            return None
        except BaseException as error:
            if not is_defect(error):
                raise
            if is_over():  # rclpy destroys what the executor waits for without waiting for it
                return None
            log.error(f'a callback failed: {error!r}')
            errors.append(monotonic())
            if len(errors) == MOST_ERRORS and errors[-1] - errors[0] < ERRORS_PERIOD:
                return error
    return None


def _guarded(callback: Callable[[Any, Any], Any], name: str, log: OnceLog) -> Callable[[Any, Any], Any]:
    def answer(request: Any, response: Any, error: BaseException) -> Any:
        if not is_defect(error):
            raise error
        log.error(f'{name}: {error!r}')
        return _failed(request, response, one_line(f'internal error: {error!r}'))

    @wraps(callback)
    def call(request: Any, response: Any) -> Any:
        try:
            refusal = _unknown_type(request)
            return _failed(request, response, refusal) if refusal else callback(request, response)
        except BaseException as error:
            return answer(request, response, error)

    @wraps(callback)
    async def call_later(request: Any, response: Any) -> Any:
        try:
            return await callback(request, response)
        except BaseException as error:
            return answer(request, response, error)

    # rclpy awaits a callback only if it sees that it is a coroutine function.
    return call_later if iscoroutinefunction(callback) else call


def _unknown_type(request: Any) -> str:
    """Return why a request to set parameters is refused, or ''."""
    for parameter in getattr(request, 'parameters', ()):
        number = getattr(getattr(parameter, 'value', None), 'type', 0)
        if number not in [known.value for known in Parameter.Type]:
            return f'{shown(parameter.name)} has the unknown type {number}; no parameter was set'
    return ''


def _failed(request: Any, response: Any, reason: str) -> Any:
    """Return a response that says why nothing was done, in the fields that its type has for that."""
    response = type(response)()
    result = SetParametersResult(successful=False, reason=reason)
    for field, value in (('success', False), ('message', reason), ('result', result),
                         ('results', [result] * len(getattr(request, 'parameters', ())))):
        if hasattr(response, field):
            setattr(response, field, value)
    return response
