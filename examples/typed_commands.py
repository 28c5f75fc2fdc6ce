#!/usr/bin/env python3
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn a spoken sentence into typed commands that a robot can execute.

    python3 typed_commands.py "take the bottle to the hall"
"""

from __future__ import annotations

from dataclasses import dataclass
import json
import re
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
    """Return the schema of one type of command. Each property allows a list of words."""
    return {'type': 'object', 'properties': {name: {'enum': words} for name, words in properties.items()},
            'required': [*properties], 'additionalProperties': False}


SYSTEM = ('You turn what a person says to a robot into a list of commands, in the order in which the robot must do '
          'them: it picks a thing up before it brings it somewhere. If there is nothing to do, the list is empty.')
# The schema alone does not tell a small model what to do. Examples do.
EXAMPLES = [
    ('Bring the bottle to the hall.', '[{"action": "pick", "object": "bottle"}, {"action": "go", "place": "hall"}]'),
    ('Where is the cup?', '[]'),
    ('Drive to the charger.', '[{"action": "go", "place": "charger"}]'),
    ('Take the cup to the charger.', '[{"action": "pick", "object": "cup"}, {"action": "go", "place": "charger"}]'),
    ('Do not go to the kitchen.', '[]'),
    ('Go to the hall and put down the box.', '[{"action": "go", "place": "hall"}, {"action": "put", "object": "box"}]'),
]
# A small model ignores these words and would do what it was told not to do.
NEGATIONS = {'not', 'dont', 'cannot', 'cant', 'never', 'no', 'nor', 'neither', 'nobody', 'nothing', 'none', 'stop',
             'halt', 'wait', 'abort', 'cancel', 'avoid', 'forget', 'without', 'unless', 'instead', 'except'}


def schema(said: str) -> dict:
    """
    Return the schema of the answer: a list of commands, possibly empty, with only the places and things in `said`.

    A model that does not understand a sentence invents a command. This schema allows no place that nobody named.
    """
    words = set(re.findall(r"[\w']+", said.lower().replace('\u2019', "'")))
    places, things = [word for word in PLACES if word in words], [word for word in OBJECTS if word in words]
    kinds = ([command(action=['go'], place=places)] if places else []) + (
        [command(action=['pick', 'put'], object=things)] if things else [])
    if not kinds or words & NEGATIONS or any(word.endswith("n't") for word in words):
        return {'type': 'array', 'maxItems': 0}
    return {'type': 'array', 'maxItems': len(places) + len(things), 'items': {'anyOf': kinds}}


def goal(said: str) -> Chat.Goal:
    """Return the goal for a sentence."""
    messages = [Message(role='system', content=SYSTEM)]
    for example, commands in [*EXAMPLES, (said, '')]:
        messages += [Message(role='user', content=example), Message(role='assistant', content=commands)]
    return Chat.Goal(messages=messages[:-1], json_schema=json.dumps(schema(said)),
                     sampling=SamplingParams(temperature=0.0))


def commands(text: str) -> list[Go | Handle]:
    """Parse an answer. It matches the schema, so it needs no checks."""
    return [Go(item['place']) if item['action'] == 'go' else Handle(**item) for item in json.loads(text)]


def main() -> int:
    """Print the commands. Returns 1 if there is no answer."""
    said = ' '.join(remove_ros_args()[1:])
    if not said.strip():
        print('usage: typed_commands.py "put the cup down"', file=sys.stderr)
        return 2
    rclpy.init()
    node = Node('commander')
    client: ActionClient = ActionClient(node, Chat, 'tinychat/chat')
    client.wait_for_server()
    sent = client.send_goal_async(goal(said))
    rclpy.spin_until_future_complete(node, sent)
    if not sent.result().accepted:
        print('the goal was rejected; see last_rejection in tinychat/state', file=sys.stderr)
        return 1
    ended = sent.result().get_result_async()
    rclpy.spin_until_future_complete(node, ended)
    result = ended.result().result
    if result.error_code:
        print(f'no commands: {result.error_msg}', file=sys.stderr)
        return 1
    # A robot should ask for confirmation here: an answer that matches the schema can still be wrong.
    for one in commands(result.text) or ['nothing to do']:
        print(one)
    return 0


if __name__ == '__main__':
    sys.exit(main())
