# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A goal's answer, in its result, its feedback and its tokens."""

from __future__ import annotations

from action_msgs.msg import GoalStatus

from tinychat_ros.interfaces import Chat, Message


def test_the_result_has_text_reason_and_counts(robot) -> None:
    status, result = robot.send(max_new_tokens=50).result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.text, result.finish_reason, result.error_code) == ('Robots need maps.', 'stop', 0)
    assert (result.prompt_tokens, result.new_tokens, result.seed) == (3, 3, 42)


def test_an_answer_that_is_cut_off_says_so(robot) -> None:
    status, result = robot.send(max_new_tokens=2).result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.text, result.finish_reason) == ('Robots need ', 'length')


def test_tokens_and_feedback_are_numbered_and_whole(start) -> None:
    robot = start(publish_period=0.0)
    robot.engine.words, robot.engine.delay = [f'{i} ' for i in range(40)], 0.003
    goal = robot.send()
    _, result = goal.result()
    pieces = robot.pieces(goal.handle.goal_id)
    assert [piece.index for piece in pieces] == list(range(len(pieces)))
    assert ''.join(piece.delta for piece in pieces) == result.text
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert (pieces[-1].finish_reason, pieces[-1].new_tokens) == ('stop', 40)
    decoded = [feedback for feedback in goal.feedback if feedback.stage == Chat.Feedback.DECODE]
    assert [feedback.index for feedback in decoded] == list(range(len(decoded)))
    assert ''.join(feedback.delta for feedback in decoded) == result.text


def test_the_prompt_goes_behind_the_system_prompt_of_the_parameter(start) -> None:
    robot = start(system_prompt='You are a robot.')
    robot.send('Hi').result()
    assert robot.engine.asked[0][0] == [{'role': 'system', 'content': 'You are a robot.'},
                                        {'role': 'user', 'content': 'Hi'}]


def test_a_goal_brings_its_own_dialogue_and_sampling(robot) -> None:
    goal = Chat.Goal(messages=[Message(role='user', content='a'), Message(role='assistant', content='b'),
                               Message(role='user', content='c')], system_prompt='S', stop=['x'])
    goal.sampling.temperature, goal.sampling.seed, goal.sampling.top_k = 0.0, 7, 3
    _, result = robot.send('', messages=goal.messages, system_prompt='S', stop=['x'], sampling=goal.sampling).result()
    messages, params = robot.engine.asked[0]
    assert [message['content'] for message in messages] == ['S', 'a', 'b', 'c']
    assert (params.temperature, params.seed, params.top_k, params.stop) == (0.0, 7, 3, ('x',))
    assert result.seed == 7


def test_a_line_on_the_prompt_topic_is_answered_on_tokens(robot) -> None:
    from conftest import wait_for
    from rclpy.qos import QoSProfile
    from std_msgs.msg import String

    publisher = robot.client_node.create_publisher(String, 'tinychat/prompt', QoSProfile(depth=10))
    wait_for(publisher.get_subscription_count)
    publisher.publish(String(data='Hello'))
    wait_for(lambda: any(token.last for token in robot.tokens))
    assert ''.join(token.delta for token in robot.tokens) == 'Robots need maps.'
    assert any(robot.tokens[0].goal_id.uuid)
