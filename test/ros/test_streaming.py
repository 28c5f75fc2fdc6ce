# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What reaches those who listen, at the speed of a fast model; and sentences for a node that speaks."""

from __future__ import annotations

from typing import Any

import pytest
import rclpy
from rclpy.qos import QoSProfile
from robot import Robot
from scripted_engine import ScriptedEngine
from std_msgs.msg import String
from waiting import wait_for

from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_ros.chat_client import ChatClient
from tinychat_ros.interfaces import Chat


def test_nothing_is_lost_at_400_tokens_a_second(start: Any, engine: ScriptedEngine) -> None:
    robot = start(publish_period=0.0)
    engine.words, engine.delay, engine.context_length = [f'{i} ' for i in range(600)], 1 / 400, 1024
    engine.stands_at = 600
    goal = robot.send(max_new_tokens=700)
    goal.told(601)  # rclpy's client drops all but one that the result overtakes
    engine.stands_at = None
    text = goal.result()[1].text
    pieces = robot.pieces(goal.handle.goal_id)
    assert [piece.index for piece in pieces] == list(range(601))
    assert ''.join(piece.delta for piece in pieces) == text
    assert [feedback.index for feedback in goal.told(602)[1:]] == list(range(601))


def test_our_client_prints_every_token(start: Any, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]) -> None:
    robot = start(publish_period=0.0)
    engine.words, engine.delay, engine.context_length = [f'{i} ' for i in range(200)], 1 / 400, 1024
    node = rclpy.create_node('chat_client', namespace=robot.node.get_namespace())
    client = ChatClient(node, 'tinychat', 10.0)
    client.wait()
    result = client.ask(Chat.Goal(prompt='Count.'))
    node.destroy_node()
    assert capsys.readouterr().out == result.text + '\n'
    assert result.new_tokens == 201


def sentences(robot: Robot) -> list[str]:
    """Return the list to which all that is to be spoken will be added."""
    spoken: list[str] = []
    robot.client_node.create_subscription(String, 'say', lambda message: spoken.append(message.data),
                                          QoSProfile(depth=100))
    wait_for(lambda: robot.client_node.count_publishers('say'))
    return spoken


@pytest.fixture
def speaker(start: Any, engine: ScriptedEngine) -> Robot:
    """Return a robot that publishes sentences."""
    engine.words = ['I', ' go', '. Then', ' I', ' wait.', ' Good', 'bye']
    robot: Robot = start(sentence_topic='say')
    wait_for(lambda: robot.client_node.count_publishers('say'))
    return robot


def test_sentences_are_published_one_by_one(speaker: Robot) -> None:
    spoken = sentences(speaker)
    speaker.send().result()
    wait_for(lambda: len(spoken) == 3)
    assert spoken == ['I go.', 'Then I wait.', 'Goodbye']


def test_half_a_sentence_of_a_canceled_answer_is_not_spoken(speaker: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['Stop me. Now'] + [' or never'] * 1000, 3
    spoken = sentences(speaker)
    goal = speaker.send()
    wait_for(lambda: spoken)
    goal.cancel()
    goal.result()
    engine.words, engine.stands_at = ['Stopped.'], None
    speaker.send().result()
    wait_for(lambda: len(spoken) > 1)
    assert spoken == ['Stop me.', 'Stopped.']


def test_json_is_not_spoken(speaker: Robot, engine: ScriptedEngine) -> None:
    engine.words = [*'true']
    spoken = sentences(speaker)
    assert speaker.send(json_schema='{"type": "boolean"}').result()[1].text == 'true'
    speaker.send('Are you sure?').result()
    wait_for(lambda: spoken)
    assert spoken == ['true']


def test_markdown_and_thoughts_are_not_spoken(speaker: Robot, engine: ScriptedEngine) -> None:
    engine.words = ['<thi', 'nk>Hm. Yes', '</think>', '\n\n**Step 1', ':** See No', '. 5', ' at https://ros.org/',
                    'x.\n', '```\nls', '\n```\n', 'Done']
    spoken = sentences(speaker)
    speaker.send().result()
    wait_for(lambda: len(spoken) > 1)
    assert spoken == ['Step 1: See No. 5 at ros.org.', 'Done']


def test_a_thought_that_the_template_begins_is_not_spoken(speaker: Robot, engine: ScriptedEngine) -> None:
    engine.words = ['I must. Think', '</think>', 'Hello.']
    encode = engine.tokenizer.encode_chat
    engine.tokenizer.encode_chat = lambda messages, **options: [*encode(messages, **options), *b'<think>\n']
    engine.tokenizer.thought_marks = ThoughtMarks('<think>', '</think>')
    spoken = sentences(speaker)
    speaker.send().result()
    wait_for(lambda: spoken)
    assert spoken == ['Hello.']


def test_without_the_parameter_there_is_no_such_topic(robot: Robot) -> None:
    strings = [name for name, types in robot.node.get_publisher_names_and_types_by_node(
        'tinychat', robot.node.get_namespace()) if 'std_msgs/msg/String' in types]
    assert strings == []
