# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A goal's answer, in its result, its feedback and its tokens."""

from __future__ import annotations

from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.qos import QoSProfile
from robot import Robot
from scripted_engine import ScriptedEngine
from std_msgs.msg import String
from waiting import wait_for

from tinychat_ros.interfaces import Chat, Message, SamplingParams


def test_the_result_has_text_reason_and_counts(robot: Robot) -> None:
    status, result = robot.send(max_new_tokens=50, sampling=SamplingParams(seed=7)).result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.text, result.finish_reason, result.error_code) == ('Robots need maps.', 'stop', 0)
    # The prompt: role, 5 letters, end, role; the answer: three words and the end.
    assert (result.prompt_tokens, result.new_tokens, result.seed) == (8, 4, 7)


def test_the_result_has_times(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay, engine.delay = 2.0, 0.01
    result = robot.send().result()[1]
    assert result.queue_time < 2.0 <= result.time_to_first_token
    assert 0 < result.tokens_per_second < 100


def test_an_answer_that_is_cut_off_says_so(robot: Robot) -> None:
    status, result = robot.send(max_new_tokens=2).result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.text, result.finish_reason) == ('Robots need ', 'length')


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(robot: Robot) -> None:
    result = robot.send(stop=['ed ma']).result()[1]
    assert (result.text, result.finish_reason) == ('Robots ne', 'stop')


def test_tokens_and_feedback_are_numbered_and_whole(start: Any, engine: ScriptedEngine) -> None:
    robot = start(publish_period=0.0)
    engine.words, engine.delay, engine.stands_at = [f'{i} ' for i in range(40)], 0.003, 40
    goal = robot.send()
    goal.told(41)  # rclpy's client drops all but one that the result overtakes
    engine.stands_at = None
    _, result = goal.result()
    pieces = robot.pieces(goal.handle.goal_id)
    assert [piece.index for piece in pieces] == list(range(41))
    assert ''.join(piece.delta for piece in pieces) == result.text
    assert [piece.last for piece in pieces] == [False] * 40 + [True]
    assert (pieces[-1].finish_reason, pieces[-1].new_tokens) == ('stop', 41)
    stages = [feedback.stage for feedback in goal.told(42)]
    assert stages == [Chat.Feedback.PREFILL] + [Chat.Feedback.DECODE] * 41
    decoded = goal.feedback[1:]
    assert [feedback.index for feedback in decoded] == list(range(41))
    assert ''.join(feedback.delta for feedback in decoded) == result.text


def test_pieces_are_joined(start: Any, engine: ScriptedEngine) -> None:
    robot = start(publish_period=10.0)  # longer than the answer takes on any machine
    engine.words, engine.delay = [f'{i} ' for i in range(40)], 0.003
    goal = robot.send()
    text = goal.result()[1].text
    pieces = robot.pieces(goal.handle.goal_id)
    assert ''.join(piece.delta for piece in pieces) == text
    assert len(pieces) < 10
    assert [piece.index for piece in pieces] == list(range(len(pieces)))


def test_the_prompt_goes_behind_the_system_prompt(start: Any, engine: ScriptedEngine) -> None:
    start(system_prompt='You are a robot.').send('Hi').result()
    assert engine.dialogues == [[{'role': 'system', 'content': 'You are a robot.'},
                                 {'role': 'user', 'content': 'Hi'}]]


def test_a_goal_brings_its_own_dialogue(robot: Robot, engine: ScriptedEngine) -> None:
    messages = [Message(role='user', content='a'), Message(role='assistant', content='b'),
                Message(role='user', content='c')]
    assert robot.send('', messages=messages, system_prompt='S').result()[0] == GoalStatus.STATUS_SUCCEEDED
    assert [message['content'] for message in engine.dialogues[0]] == ['S', 'a', 'b', 'c']


def test_a_line_on_the_prompt_topic_is_answered_on_tokens(robot: Robot) -> None:
    publisher = robot.client_node.create_publisher(String, 'tinychat/prompt', QoSProfile(depth=10))
    wait_for(publisher.get_subscription_count)
    publisher.publish(String(data='Hello'))
    wait_for(lambda: any(token.last for token in robot.tokens))
    assert ''.join(token.delta for token in robot.tokens) == 'Robots need maps.'
    assert any(robot.tokens[0].goal_id.uuid)


def test_characters_that_a_message_cannot_carry_are_replaced(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words = ['a\0b', 'ç😀']
    goal = robot.send()
    text = 'a\N{REPLACEMENT CHARACTER}bç😀'
    assert goal.result()[1].text == text
    assert ''.join(piece.delta for piece in robot.pieces(goal.handle.goal_id)) == text


def test_the_feedback_tells_how_far_a_long_prompt_is_read(robot: Robot, engine: ScriptedEngine) -> None:
    engine.context_length, engine.stands_at = 2000, 1
    goal = robot.send('x' * 1600)
    told = [*goal.told(4)]
    engine.stands_at = None
    goal.result()
    progress = [feedback.prefill_progress for feedback in told if feedback.stage == Chat.Feedback.PREFILL]
    assert len(progress) == 4 and progress == sorted(progress)
    assert (progress[0], 0.9 < progress[-1] < 1.0) == (0.0, True)
