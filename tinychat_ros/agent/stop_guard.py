# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The stop guard: a process that stops the robot if the agent crashes or hangs.

Nobody can send a stop message after SIGKILL or a crash in native code. So before anything moves, the agent tells this
process how to stop it. If the agent's end of the pipe closes, or is silent for SILENCE while something moves, this
process sends the stop messages and cancels the goals of actions.

    stdin: one JSON object a line.
        {"topic": NAME, "type": TYPE}              prepare a publisher
        {"action": NAME}                           prepare a client of its cancel service
        {"arm": ID, "topic": NAME, "type": TYPE, "stop": HEX}    a serialized message that stops it
        {"arm": ID, "action": NAME, "goal": HEX}    the id of the goal to cancel
        {"disarm": ID}                             the motion has ended
        {}                                         the agent is alive
    stdout: one word a line. "ready" when everything before the first empty object is prepared; the ID of an armed
        motion when somebody would receive its stop: DDS discovers the robot for each process separately.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from time import monotonic, sleep
from typing import Any

from action_msgs.srv import CancelGoal
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from unique_identifier_msgs.msg import UUID

from tinychat_ros.agent.ros_types import find_type

SILENCE = 1.0  # [s] without a line while something moves
DELIVERY = 0.5  # [s] for what was sent last
LONGEST_DISCOVERY = 5.0  # [s]


class StopGuard:
    """The prepared publishers and clients, and the motions that are guarded."""

    def __init__(self, node: Node) -> None:
        """Take the node to send from; it does not need to be spun."""
        self._node = node
        self._publishers: dict[tuple[str, str], Any] = {}
        self._cancels: dict[str, Any] = {}
        self._armed: dict[str, dict[str, str]] = {}

    @property
    def is_armed(self) -> bool:
        """Whether something moves."""
        return bool(self._armed)

    def obey(self, order: dict[str, str]) -> None:
        """Carry out one line."""
        if 'arm' in order:
            self._armed[order['arm']] = order
            if self._is_heard(order):
                print(order['arm'], flush=True)
        elif 'disarm' in order:
            self._armed.pop(order['disarm'], None)
        elif 'type' in order:
            self._publishers[order['topic'], order['type']] = self._node.create_publisher(
                find_type(order['type'], 'publish'), order['topic'], 10)
        elif 'action' in order:
            self._cancels[order['action']] = self._node.create_client(
                CancelGoal, f"{order['action']}/_action/cancel_goal")

    def _is_heard(self, order: dict[str, str]) -> bool:
        """Wait until somebody would receive the stop message or the cancel request."""
        end = monotonic() + LONGEST_DISCOVERY
        while not (self._publishers[order['topic'], order['type']].get_subscription_count() if 'topic' in order else
                   self._cancels[order['action']].service_is_ready()):
            if monotonic() > end:
                return False
            sleep(0.002)
        return True

    def stop(self) -> None:
        """Stop every guarded motion."""
        for order in self._armed.values():
            if 'topic' in order:
                self._publishers[order['topic'], order['type']].publish(bytes.fromhex(order['stop']))
            else:
                request = CancelGoal.Request()
                request.goal_info.goal_id = UUID(uuid=list(bytes.fromhex(order['goal'])))
                self._cancels[order['action']].call_async(request)
        self._armed.clear()


def main() -> None:
    """Guard until stdin closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends after the agent, and not with it
        signal.signal(number, signal.SIG_IGN)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f'agent_stop_guard_{os.getpid()}', start_parameter_services=False, enable_rosout=False)
    guard = StopGuard(node)
    is_ready = False
    received = b''
    while True:
        heard, _, _ = select.select([sys.stdin], [], [], SILENCE if guard.is_armed else None)
        chunk = os.read(sys.stdin.fileno(), 65536) if heard else None
        if chunk:
            received += chunk
            *lines, received = received.split(b'\n')
            for line in lines:
                order = json.loads(line)
                if not order and not is_ready:
                    is_ready = True
                    print('ready', flush=True)
                guard.obey(order)
            continue
        if guard.is_armed:
            why = 'has ended' if heard else f'has been silent for {SILENCE:g} s'
            print(f'the agent {why} while the robot moved: it is stopped', file=sys.stderr, flush=True)
            guard.stop()
        if heard:  # the pipe is closed
            break
    sleep(DELIVERY)
    node.destroy_node()
    rclpy.try_shutdown()
