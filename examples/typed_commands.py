#!/usr/bin/env python3
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn what a person says into commands that a robot can execute, each of a type of its own.

    python3 typed_commands.py "go to the kitchen and pick up the cup"
"""

from __future__ import annotations

from dataclasses import dataclass
import json
import sys

import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from tinychat_interfaces.action import Chat
from tinychat_interfaces.msg import Message, SamplingParams

PLACES, OBJECTS = ['kitchen', 'hall', 'charger'], ['cup', 'bottle', 'box']


@dataclass
class Go:
    """Drive to a place."""

    place: str


@dataclass
class Handle:
    """Pick something up, or put it down."""

    action: str
    object: str


def command(**properties: list[str]) -> dict:
    """Return the schema of one kind of command: each property is one of some words."""
    return {'type': 'object', 'properties': {name: {'enum': words} for name, words in properties.items()},
            'required': [*properties], 'additionalProperties': False}


SCHEMA = {'type': 'array', 'minItems': 1, 'maxItems': 5, 'items': {'anyOf': [
    command(action=['go'], place=PLACES), command(action=['pick', 'put'], object=OBJECTS)]}}
# A small model learns from examples what the schema alone does not tell it.
EXAMPLES = [
    ('Bring the bottle to the hall.', '[{"action": "pick", "object": "bottle"}, {"action": "go", "place": "hall"}]'),
    ('Drive to the charger.', '[{"action": "go", "place": "charger"}]'),
    ('Go to the hall and put down the box.', '[{"action": "go", "place": "hall"}, {"action": "put", "object": "box"}]'),
]


def goal(said: str) -> Chat.Goal:
    """Return the goal that asks for the commands."""
    messages = [Message(role='system', content='You turn what a person says to a robot into a list of commands.')]
    for example, commands in [*EXAMPLES, (said, '')]:
        messages += [Message(role='user', content=example), Message(role='assistant', content=commands)]
    return Chat.Goal(messages=messages[:-1], json_schema=json.dumps(SCHEMA), sampling=SamplingParams(temperature=0.0))


def commands(text: str) -> list[Go | Handle]:
    """Return the commands of an answer; it matches the schema, so there is nothing to check."""
    return [Go(item['place']) if item['action'] == 'go' else Handle(**item) for item in json.loads(text)]


def main() -> int:
    """Print the commands; returns 1 where there are none."""
    said = ' '.join(remove_ros_args()[1:])
    rclpy.init()
    node = Node('commander')
    client: ActionClient = ActionClient(node, Chat, 'tinychat/chat')
    client.wait_for_server()
    sent = client.send_goal_async(goal(said))
    rclpy.spin_until_future_complete(node, sent)
    if not sent.result().accepted:
        print('the goal was rejected; tinychat/state tells why', file=sys.stderr)
        return 1
    ended = sent.result().get_result_async()
    rclpy.spin_until_future_complete(node, ended)
    result = ended.result().result
    if result.error_code:
        print(f'no commands: {result.error_msg}', file=sys.stderr)
        return 1
    for one in commands(result.text):
        print(one)
    return 0


if __name__ == '__main__':
    sys.exit(main())
