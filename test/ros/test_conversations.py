# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Goals of a conversation: what the model is shown, and what it need not read again."""

from __future__ import annotations

from typing import Any

from action_msgs.msg import GoalStatus
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros.interfaces import Chat, ResetConversation

ANSWER = 'Robots need maps.'


def ask(robot: Robot, prompt: str, conversation_id: str = 'kitchen', **fields: Any) -> Chat.Result:
    """Return the result of a goal that succeeds."""
    status, result = robot.send(prompt, conversation_id=conversation_id, **fields).result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    return result


def shown(engine: ScriptedEngine) -> list[str]:
    """Return the texts of the last dialogue."""
    return [message['content'] for message in engine.dialogues[-1]]


def reset(robot: Robot, conversation_id: str) -> tuple[bool, str]:
    """Call ~/reset_conversation."""
    answer = robot.call(ResetConversation, 'reset_conversation',
                        ResetConversation.Request(conversation_id=conversation_id))
    return answer.success, answer.message


def test_a_follow_up_knows_the_turns_and_reads_only_what_is_new(robot: Robot, engine: ScriptedEngine) -> None:
    first, second = ask(robot, 'one'), ask(robot, 'number two')
    assert shown(engine) == ['one', ANSWER, 'number two']
    assert (first.prompt_tokens, first.reused_tokens) == (6, 0)
    # The first prompt and the three words of its answer were there.
    assert (second.reused_tokens, second.prompt_tokens - second.reused_tokens) == (9, len(engine.prefilled[-1]))


def test_the_tokens_tell_their_conversation(robot: Robot) -> None:
    goal = robot.send(conversation_id='kitchen')
    goal.result()
    assert {token.conversation_id for token in robot.pieces(goal.handle.goal_id)} == {'kitchen'}


def test_without_a_conversation_nothing_is_remembered(robot: Robot, engine: ScriptedEngine) -> None:
    ask(robot, 'one', '')
    ask(robot, 'two', '')
    assert shown(engine) == ['two']


def test_more_conversations_than_caches(start: Any, engine: ScriptedEngine) -> None:
    robot = start(kv_caches=1)
    ask(robot, 'one', 'kitchen')
    ask(robot, 'two', 'hall')
    result = ask(robot, 'three', 'kitchen')
    assert shown(engine) == ['one', ANSWER, 'three']
    assert result.reused_tokens == 1  # the role that begins every question


def test_a_conversation_keeps_its_system_prompt_until_a_goal_brings_another(
        robot: Robot, engine: ScriptedEngine) -> None:
    ask(robot, 'one', system_prompt='be brief')
    ask(robot, 'two')
    assert shown(engine)[0] == 'be brief'
    ask(robot, 'three', system_prompt='be kind')
    assert shown(engine)[:2] == ['be kind', 'one']


def test_a_canceled_answer_is_a_turn_as_far_as_it_went(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 1000, 3
    goal = robot.send('one', conversation_id='kitchen')
    goal.await_text()
    goal.cancel()
    partial = goal.result()[1].text
    ask(robot, 'two', max_new_tokens=1)
    assert shown(engine) == ['one', partial, 'two']


def test_a_goal_that_ended_before_any_text_leaves_no_turn(robot: Robot, engine: ScriptedEngine) -> None:
    engine.fails_at = 0
    robot.send('one', conversation_id='kitchen').result()
    engine.fails_at = None
    ask(robot, 'two')
    assert shown(engine) == ['two']


def test_a_prompt_that_is_too_long_leaves_no_trace(robot: Robot, engine: ScriptedEngine) -> None:
    ask(robot, 'one')
    status, result = robot.send('x' * 200, conversation_id='kitchen').result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.PROMPT_TOO_LONG)
    ask(robot, 'two')
    assert shown(engine) == ['one', ANSWER, 'two']


def test_a_system_prompt_that_is_too_long_leaves_no_trace(robot: Robot, engine: ScriptedEngine) -> None:
    ask(robot, 'one')
    status, result = robot.send('two', conversation_id='kitchen', system_prompt='x' * 200).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.PROMPT_TOO_LONG)
    ask(robot, 'three')
    assert shown(engine) == ['one', ANSWER, 'three']


def test_the_result_tells_that_the_context_was_full(robot: Robot, engine: ScriptedEngine) -> None:
    results = [ask(robot, 'x' * 25, system_prompt='sys') for _ in range(4)]  # of 128 tokens
    assert [result.dropped_turns for result in results] == [0, 0, 2, 2]
    assert shown(engine)[0] == 'sys'


def test_reset_forgets_one_conversation(robot: Robot, engine: ScriptedEngine) -> None:
    for name in ('kitchen', 'hall'):
        ask(robot, 'one', name)
    assert reset(robot, 'kitchen') == (True, '')
    ask(robot, 'two', 'kitchen')
    assert shown(engine) == ['two']
    ask(robot, 'two', 'hall')
    assert shown(engine) == ['one', ANSWER, 'two']


def test_reset_of_no_name_forgets_all(robot: Robot, engine: ScriptedEngine) -> None:
    ask(robot, 'one')
    assert reset(robot, '') == (True, '')
    assert reset(robot, 'kitchen') == (False, 'unknown conversation')


def test_a_conversation_cannot_be_reset_while_it_runs(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    goal = robot.send('one', conversation_id='kitchen')
    wait_for(lambda: engine.prefilled)
    assert reset(robot, 'kitchen') == reset(robot, '') == (False, 'in use by a running goal')
    goal.cancel()
    goal.result()
    assert reset(robot, '') == (True, '')


def test_conversations_outlive_a_pause_of_the_node(robot: Robot, engine: ScriptedEngine) -> None:
    ask(robot, 'one')
    robot.node.trigger_deactivate()
    robot.node.trigger_activate()
    assert ask(robot, 'number two').reused_tokens == 9
