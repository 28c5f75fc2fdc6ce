# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What differs between the distributions of ROS 2 from Humble to Kilted, and the only use of rclpy's private names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
import os
from threading import Event, Lock, Thread
from typing import Any

from lifecycle_msgs.srv import ChangeState, GetState
import rclpy.action
from rclpy.executors import Executor
from rclpy.lifecycle import TransitionCallbackReturn

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

__all__ = ['ActionClient', 'SubscriptionEventCallbacks', 'change_state_service', 'end_spinning', 'lifecycle_state',
           'publish_goal_status', 'result_timeout', 'start_values', 'this_machine_only', 'triggered']

# Maximum time to wait for a thread that has nothing more to do.
END_SPINNING = 2.0  # [s]

# In rcl before Jazzy, a result expires this long after the goal was accepted, not after it ended
# (https://github.com/ros2/rcl/issues/1103, https://github.com/ros2/rcl/pull/1121).
COUNT_FROM_ACCEPTANCE = ('humble', 'iron')


def result_timeout(environment: Mapping[str, str] = os.environ) -> int:
    """
    Return for how long the action server keeps results [s].

    Ten seconds after the goal's end are enough for a client that requests the result then. Counted from acceptance,
    they would be over before a long answer is, so it is a quarter of an hour there, which costs some MB after 2,000
    goals.
    """
    return 900 if environment.get('ROS_DISTRO') in COUNT_FROM_ACCEPTANCE else 10


def end_spinning(executor: Executor, thread: Thread) -> None:
    """
    Shut an executor down, and wait for the daemon thread that spins it.

    On Jazzy the thread may miss the shutdown: `Executor.shutdown` of rclpy 7.1 destroys the guard condition that wakes
    the thread, and does not wait for the thread. Therefore this function creates other guard conditions, lets a task
    run, so that the thread then waits for them, too, and triggers them after the shutdown. A thread in a callback that
    does not return is left to the end of the process.

    A callback that begins during the shutdown triggers the same guard condition, and rclpy to 9.1 would print "cannot
    use Destroyable because destruction was requested". Therefore that guard condition ignores its own end.
    """
    _ignore_destruction(getattr(executor, '_guard', None))
    guards = [node.create_guard_condition(lambda: None) for node in executor.get_nodes()]
    has_run = Event()
    executor.create_task(has_run.set)
    has_run.wait(END_SPINNING if thread.is_alive() else 0.0)
    executor.shutdown()
    for guard in guards:
        guard.trigger()
    thread.join(END_SPINNING)


def _ignore_destruction(guard: Any) -> None:
    trigger: Any = getattr(guard, 'trigger', None)  # None if another version has no such guard condition

    def trigger_if_there() -> None:
        with suppress(RuntimeError):  # InvalidHandle is one
            trigger()

    if trigger is not None:
        guard.trigger = trigger_if_there


class ActionClient(rclpy.action.ActionClient):  # type: ignore[type-arg]
    """
    An action client for a thread that does not spin.

    Before Kilted, rclpy notes a request only after it has sent it. A response that another thread takes in between is
    then ignored, with the warning "Ignoring unexpected goal response", and its future is never done.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """Create the client; the arguments are those of rclpy's."""
        self._sending = Lock()
        super().__init__(*args, **options)

    def send_goal_async(self, *args: Any, **options: Any) -> Any:
        """Send a goal, and return a future of its handle."""
        with self._sending:
            return super().send_goal_async(*args, **options)

    def _cancel_goal_async(self, goal_handle: Any) -> Any:
        with self._sending:
            return super()._cancel_goal_async(goal_handle)

    def _get_result_async(self, goal_handle: Any) -> Any:
        with self._sending:
            return super()._get_result_async(goal_handle)

    async def execute(self, taken_data: Any) -> None:
        """Handle responses, after their requests have been noted."""
        with self._sending:
            pass
        await super().execute(taken_data)


def this_machine_only(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """
    Return the environment variables that limit ROS 2 to this machine.

    Humble knows only ROS_LOCALHOST_ONLY. In newer distributions that variable is deprecated and overrides
    ROS_AUTOMATIC_DISCOVERY_RANGE, so it is empty there: Jazzy prints two warnings about any other value.
    """
    return {'ROS_LOCALHOST_ONLY': '1' if environment.get('ROS_DISTRO') == 'humble' else '',
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}


def change_state_service(node: Any) -> Any:
    """Return a lifecycle node's service ~/change_state. In rclpy it has only a private name."""
    return next(service for service in node.services if service.srv_type is ChangeState)


def lifecycle_state(node: Any) -> str:
    """Return the label of a lifecycle node's state, as its service ~/get_state tells it: rclpy has no function."""
    service = next(service for service in node.services if service.srv_type is GetState)
    return str(service.callback(GetState.Request(), GetState.Response()).current_state.label)


def triggered(trigger: Callable[[], TransitionCallbackReturn]) -> TransitionCallbackReturn:
    """
    Return the result of a node's trigger_configure and the like; ERROR if the transition is impossible now.

    Kilted's rclpy returns ERROR then, and logs why. Humble's and Jazzy's raise RCLError, a RuntimeError.
    """
    try:
        return trigger()
    except RuntimeError:
        return TransitionCallbackReturn.ERROR


def start_values(node: Any) -> Mapping[str, Any]:
    """
    Return the parameters that a node was started with, by name: those of its arguments, files and parameter_overrides.

    rclpy has no public name for them. `automatically_declare_parameters_from_overrides` would declare them without our
    checks.
    """
    values: Mapping[str, Any] = node._parameter_overrides
    return values


def publish_goal_status(server: Any) -> None:
    """
    Publish the status of an action server's goals again.

    rclpy has no public function for it. The names below are those of rclpy 3.3 (Humble) to 9.1 (Kilted). If another
    version lacks them, nothing is published: the status is a repetition.
    """
    lock, handle = getattr(server, '_lock', None), getattr(server, '_handle', None)
    if lock is not None and handle is not None:
        with lock:
            handle.publish_status()
