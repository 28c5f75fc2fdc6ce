# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A dialogue over topics: ~/prompt with a conversation, ~/prompt/stop and ~/prompt/reset."""

from __future__ import annotations

from typing import Any

from action_msgs.msg import GoalStatus
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robot import Robot
from scripted_engine import ScriptedEngine
from std_msgs.msg import Empty, String
from waiting import wait_for

from tinychat_ros.interfaces import State, Token

ANSWER = 'Robots need maps.'


class Speaker:
    """Who publishes on the three topics."""

    def __init__(self, robot: Robot) -> None:
        """Make the publishers, and wait until they are heard."""
        self.robot = robot
        create = robot.client_node.create_publisher
        self._prompts = create(String, 'tinychat/prompt', QoSProfile(depth=10))
        self.stops = create(Empty, 'tinychat/prompt/stop', QoSProfile(depth=10))
        self.resets = create(Empty, 'tinychat/prompt/reset', QoSProfile(depth=10))
        for publisher in (self._prompts, self.stops, self.resets):
            wait_for(publisher.get_subscription_count)

    def say(self, text: str) -> None:
        """Say it, and do not wait."""
        self._prompts.publish(String(data=text))

    def ended(self) -> list[Token]:
        """Return the last messages of all answers so far."""
        return [token for token in self.robot.tokens if token.last]

    def hear(self, text: str) -> Token:
        """Say it, and return the last message of the answer."""
        before = len(self.ended())
        self.say(text)
        wait_for(lambda: len(self.ended()) > before)
        wait_for(lambda: self.robot.is_in(State.IDLE))
        return self.ended()[-1]


def shown(engine: ScriptedEngine) -> list[str]:
    """Return the texts of the last dialogue."""
    return [message['content'] for message in engine.dialogues[-1]]


@pytest.fixture
def speaker(start: Any) -> Speaker:
    """Return the speaker to a robot with a dialogue."""
    return Speaker(start(prompt_conversation_id='speech'))


def test_a_prompt_goes_on_where_the_last_answer_ended(speaker: Speaker, engine: ScriptedEngine) -> None:
    speaker.hear('one')
    assert speaker.hear('two').conversation_id == 'speech'
    assert shown(engine) == ['one', ANSWER, 'two']


def test_without_the_parameter_each_prompt_is_one_of_its_own(robot: Robot, engine: ScriptedEngine) -> None:
    speaker = Speaker(robot)
    speaker.hear('one')
    speaker.hear('two')
    assert shown(engine) == ['two']


def test_the_parameter_may_change_while_the_node_serves(robot: Robot, engine: ScriptedEngine) -> None:
    speaker = Speaker(robot)
    assert robot.set_parameter('prompt_conversation_id', 'speech') == ''
    speaker.hear('one')
    speaker.hear('two')
    assert shown(engine) == ['one', ANSWER, 'two']


def test_a_goal_may_take_part(speaker: Speaker, engine: ScriptedEngine) -> None:
    speaker.hear('one')
    speaker.robot.send('two', conversation_id='speech').result()
    assert shown(engine) == ['one', ANSWER, 'two']


def test_stop_ends_the_answer_and_the_prompts_that_wait(speaker: Speaker, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    speaker.say('one')
    wait_for(lambda: engine.prefilled)
    speaker.say('two')
    wait_for(lambda: speaker.robot.states[-1].queued_goals == 1)
    speaker.stops.publish(Empty())
    wait_for(lambda: len(speaker.ended()) == 2)
    assert {token.finish_reason for token in speaker.ended()} == {'canceled'}
    assert len(engine.prefilled) == 1
    wait_for(lambda: speaker.robot.is_in(State.IDLE))


def test_stop_does_not_end_what_others_asked(speaker: Speaker, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 20, 3
    goal = speaker.robot.send('one')
    goal.await_text()
    speaker.say('two')
    wait_for(lambda: speaker.robot.states[-1].queued_goals == 1)
    speaker.stops.publish(Empty())
    wait_for(lambda: speaker.ended())  # the prompt that waited
    engine.stands_at = None
    assert goal.result()[0] == GoalStatus.STATUS_SUCCEEDED
    assert len(engine.dialogues) == 1


def test_stop_is_heard_from_a_best_effort_publisher(speaker: Speaker, engine: ScriptedEngine) -> None:
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    button = speaker.robot.client_node.create_publisher(Empty, 'tinychat/prompt/stop', qos)
    engine.prefill_delay = 60.0
    speaker.say('one')
    wait_for(lambda: engine.prefilled)

    def pressed() -> bool:
        button.publish(Empty())
        return bool(speaker.ended())

    wait_for(pressed)


def test_reset_begins_a_new_dialogue(speaker: Speaker, engine: ScriptedEngine) -> None:
    speaker.hear('one')
    speaker.resets.publish(Empty())
    wait_for(lambda: not speaker.robot.node._service.conversations._talks)
    speaker.hear('two')
    assert shown(engine) == ['two']


def test_reset_in_mid_answer_ends_and_forgets_it(speaker: Speaker, engine: ScriptedEngine) -> None:
    speaker.hear('one')
    words, engine.words, engine.stands_at = engine.words, ['word '] * 1000, 3
    said = len(speaker.robot.tokens)
    speaker.say('two')
    wait_for(lambda: len(speaker.robot.tokens) > said)
    speaker.resets.publish(Empty())
    wait_for(lambda: len(speaker.ended()) == 2)
    assert speaker.ended()[-1].finish_reason == 'canceled'
    wait_for(lambda: not speaker.robot.node._service.conversations._talks)
    engine.words, engine.stands_at = words, None
    speaker.hear('three')
    assert shown(engine) == ['three']


def test_other_conversations_stay(speaker: Speaker, engine: ScriptedEngine) -> None:
    speaker.robot.send('one', conversation_id='kitchen').result()
    speaker.hear('two')
    speaker.resets.publish(Empty())
    wait_for(lambda: 'speech' not in speaker.robot.node._service.conversations._talks)
    speaker.robot.send('three', conversation_id='kitchen').result()
    assert shown(engine) == ['one', ANSWER, 'three']
