#!/usr/bin/env python3
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A behaviour tree that asks the model which branch to take: the model decides, the tree acts.

    pip install py_trees            # or: sudo apt install ros-$ROS_DISTRO-py-trees
    python3 behaviour_tree.py "My battery is nearly empty."
"""

from __future__ import annotations

import argparse
import sys

import py_trees
from py_trees.common import Status
import rclpy
from rclpy.node import Node
from rclpy.task import Future
from rclpy.utilities import remove_ros_args

from tinychat_interfaces.msg import Message
from tinychat_interfaces.srv import Decide

# What the robot can do, and the words that the model chooses from.
BRANCHES = {'charge': 'drive to the charger', 'patrol': 'patrol the building', 'greet': 'greet the person'}
# A small model needs examples of what belongs to which branch.
EXAMPLES = [('You have little power left.', 'charge'), ('Good morning!', 'greet'),
            ('Look whether all doors are closed.', 'patrol')]
TICK = 0.1  # [s]


class Ask(py_trees.behaviour.Behaviour):
    """Asks ~/decide which option fits, without blocking the tree; writes the choice to the blackboard."""

    def __init__(self, node: Node, messages: list[Message], options: list[str], certain: float,
                 patience: float) -> None:
        """`certain`: probability below which the model does not count; `patience`: for the answer [s]."""
        super().__init__('ask the model')
        self._node = node
        self._request = Decide.Request(messages=messages, options=options)
        self._certain = certain
        self._patience = patience
        self._client = node.create_client(Decide, 'tinychat/decide')
        self._answer: Future | None = None
        self._ticks = 0
        self.blackboard = self.attach_blackboard_client()
        self.blackboard.register_key('choice', access=py_trees.common.Access.WRITE)

    def initialise(self) -> None:
        """Forget the last answer."""
        self._answer, self._ticks = None, 0

    def update(self) -> Status:
        """Send the question once there is a server; fail if the answer does not come, or is uncertain."""
        self._ticks += 1
        if self._answer is None and self._client.service_is_ready():
            self._answer = self._client.call_async(self._request)
        if self._answer is None or not self._answer.done():
            self.feedback_message = 'waits for the answer' if self._answer else 'waits for tinychat/decide'
            return Status.RUNNING if self._ticks * TICK < self._patience else Status.FAILURE
        answer = self._answer.result()
        if not answer.success:
            self.feedback_message = answer.message
            return Status.FAILURE
        choice, probability = self._request.options[answer.best], answer.probabilities[answer.best]
        self.feedback_message = f'{choice}: {probability:.2f}'
        if probability < self._certain:
            return Status.FAILURE
        self.blackboard.choice = choice
        return Status.SUCCESS


class Act(py_trees.behaviour.Behaviour):
    """Stands for a behaviour of the robot."""

    def update(self) -> Status:
        """Do it at once."""
        print(f'-> {self.name}')
        return Status.SUCCESS


def tree(node: Node, said: str, certain: float, patience: float) -> py_trees.behaviour.Behaviour:
    """Return the tree: ask, then take the branch; if the model does not answer or is uncertain, ask the person."""
    def chosen(option: str) -> py_trees.behaviour.Behaviour:
        return py_trees.behaviours.CheckBlackboardVariableValue(
            f'{option}?', py_trees.common.ComparisonExpression('choice', option, lambda a, b: a == b))

    messages = [Message(role='system', content=f"You choose what a robot does: {', '.join(BRANCHES)}.")]
    for example, option in EXAMPLES:
        messages += [Message(role='user', content=example), Message(role='assistant', content=option)]
    messages.append(Message(role='user', content=said))
    branches = py_trees.composites.Selector('branches', memory=False, children=[
        py_trees.composites.Sequence(option, memory=False, children=[chosen(option), Act(what)])
        for option, what in BRANCHES.items()])
    ask = Ask(node, messages, [*BRANCHES], certain, patience)
    return py_trees.composites.Selector('robot', memory=True, children=[
        py_trees.composites.Sequence('decide', memory=True, children=[ask, branches]),
        Act('ask the person what to do')])


def main() -> int:
    """Tick the tree until it has ended. Returns 0 if it succeeded."""
    parser = argparse.ArgumentParser(description='Ask the model which branch of a behaviour tree to take.')
    parser.add_argument('said', help='what a person says to the robot')
    parser.add_argument('--certain', type=float, default=0.6, metavar='P', help='least probability (default: 0.6)')
    parser.add_argument('--patience', type=float, default=10.0, metavar='S', help='for the answer (default: 10)')
    arguments = parser.parse_args(remove_ros_args()[1:])
    rclpy.init()
    node = Node('behaviour_tree')
    root = tree(node, arguments.said, arguments.certain, arguments.patience)
    root.setup_with_descendants()
    while root.status in (Status.INVALID, Status.RUNNING):
        end = node.get_clock().now() + rclpy.duration.Duration(seconds=TICK)
        while node.get_clock().now() < end:
            rclpy.spin_once(node, timeout_sec=TICK)
        root.tick_once()
    print(py_trees.display.unicode_tree(root, show_status=True))
    node.destroy_node()
    rclpy.shutdown()
    return 0 if root.status == Status.SUCCESS else 1


if __name__ == '__main__':
    sys.exit(main())
