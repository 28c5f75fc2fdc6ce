# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A task with real nodes in other processes: what reaches the robot, and what the model is told."""

from __future__ import annotations

import json
from typing import Any

from action_msgs.msg import GoalStatus
from agent_world import Agent, World
from builtin_interfaces.msg import Duration
import pytest
from waiting import wait_for

from tinychat_ros.interfaces import Task, TaskStep

ON = ['light', {'data': True}]


def run(agent: Agent, *answers: Any, **fields: Any) -> Task.Result:
    """Run a task that ends by itself; each answer is a list of calls, or an object of the script."""
    script = [answer if isinstance(answer, dict) else {'calls': answer} for answer in answers]
    status, result = agent.send(script, **fields).result()
    assert status == (GoalStatus.STATUS_ABORTED if result.finish_reason == 'aborted' else GoalStatus.STATUS_SUCCEEDED)
    return result


def told(step: TaskStep) -> dict[str, Any]:
    return json.loads(step.result)


def test_a_service_is_called(agent: Agent, world: World) -> None:
    seen = len(world.robot.output)
    result = run(agent, [ON], {'text': 'The light is on.'})
    assert (result.finish_reason, result.report) == ('done', 'The light is on.')
    assert [(step.status, told(step)) for step in result.steps] == [
        (TaskStep.SUCCEEDED, {'ok': True, 'response': {'success': True, 'message': ''}})]
    assert world.events(seen) == [['light', True]]


def test_an_action_runs_to_its_end(agent: Agent, world: World) -> None:
    seen = len(world.robot.output)
    result = run(agent, [['go', {'max_steps': 1}]])
    assert told(result.steps[0]) == {'ok': True, 'result': {'report': 'there'}}
    assert world.events(seen) == [['go', 'begin', 1], ['go', 'end']]


def test_a_message_for_a_duration_ends_with_the_stop_message(agent: Agent, world: World) -> None:
    seen = len(world.robot.output)
    result = run(agent, [['drive', {'linear': {'x': 0.25}, 'duration': 0.3}]])
    assert told(result.steps[0]) == {'ok': True, 'duration': 0.3}
    world.robot.says('["cmd_vel", 0.0')
    speeds = [speed for _, speed in world.events(seen)]
    assert speeds == [0.25] * (len(speeds) - 1) + [0.0] and len(speeds) > 5


def test_a_message_once_and_how_often(agent: Agent, world: World) -> None:
    seen = len(world.robot.output)
    result = run(agent, *[[['say', {'data': text}]] for text in 'abc'])
    assert [step.status for step in result.steps] == [TaskStep.SUCCEEDED, TaskStep.SUCCEEDED, TaskStep.REFUSED]
    assert told(result.steps[2])['error'] == 'say may be called 2 times in a task, and was'
    world.robot.says('["say", "b"')
    assert world.events(seen) == [['say', 'a'], ['say', 'b']]


def test_a_topic_is_read(agent: Agent) -> None:
    result = run(agent, [['battery', {}]])
    assert told(result.steps[0])['message']['percentage'] == 0.5


def test_the_model_gets_results_as_they_are(agent: Agent, world: World) -> None:
    """Control tokens stay text of a tool's message, and nothing in it adds a tool."""
    seen = len(world.chat.output)
    result = run(agent, [['broken', {}]], [['self_destruct', {}]])
    first, second, third = world.goals(seen)
    assert [role for role, _, _ in second['messages']] == ['system', 'user', 'assistant', 'tool']
    assert '<|im_start|>system' in json.loads(second['messages'][-1][1])['error']
    assert second['messages'][-1][1] == result.steps[0].result
    assert first['tools'] == second['tools'] == third['tools'] and 'self_destruct' not in first['tools']
    assert [step.status for step in result.steps] == [TaskStep.FAILED, TaskStep.REFUSED]


FAILING: dict[str, tuple[list[Any], int, str]] = {
    'no tool': (['fly', {}], TaskStep.REFUSED, "there is no function 'fly'"),
    'almost a tool': (['lihgt', {}], TaskStep.REFUSED, "there is no function 'lihgt'; is it light?"),
    'no name': (['', {}], TaskStep.REFUSED, "there is no function ''"),
    'no JSON': (['light', '{'], TaskStep.REFUSED, 'the arguments must be a JSON object'),
    'a list': (['light', '[true]'], TaskStep.REFUSED, 'the arguments must be a JSON object'),
    'a name twice': (['light', '{"data": true, "data": false}'], TaskStep.REFUSED, 'must be a JSON object'),
    'deep': (['light', '[' * 9000], TaskStep.REFUSED, 'must be a JSON object'),
    'long': (['light', '{"data": "' + 'a' * 12000 + '"}'], TaskStep.REFUSED, 'the arguments have 12012 characters'),
    'missing': (['light', {}], TaskStep.REFUSED, 'data: is missing'),
    'too fast': (['drive', {'linear': {'x': 3}, 'duration': 1}], TaskStep.REFUSED,
                 'linear.x: must be -0.3 .. 0.3, not 3'),
    'too long': (['drive', {'linear': {'x': 0.1}, 'duration': 99}], TaskStep.REFUSED, 'duration must be 0.1 .. 20'),
    'not a number': (['drive', '{"linear": {"x": NaN}, "duration": 1}'], TaskStep.REFUSED,
                     'linear.x: must be a number'),
    'endless': (['drive', '{"linear": {"x": 0.1}, "duration": Infinity}'], TaskStep.REFUSED, 'duration must be'),
    'another axis': (['drive', {'linear': {'x': 0.1, 'y': 1}, 'duration': 1}], TaskStep.REFUSED, "no field 'y'"),
    'no choice': (['go', {'max_steps': 1, 'instruction': 'x'}], TaskStep.REFUSED, 'instruction: must be one of'),
    'aborted': (['go', {'max_steps': 0, 'instruction': 'abort'}], TaskStep.FAILED, 'the action was aborted'),
    'too slow an action': (['short_go', {'max_steps': 100}], TaskStep.FAILED,
                           'has not ended within 0.5 s and was canceled'),
    'no answer': (['never', {}], TaskStep.FAILED, 'the service has not answered within 0.2 s'),
    'no service': (['missing', {}], TaskStep.FAILED, 'is not there (waited for 0.1 s)'),
    'no publisher': (['nowhere', {}], TaskStep.FAILED, 'nobody publishes on'),
}


@pytest.mark.parametrize(('call', 'status', 'error'), FAILING.values(), ids=FAILING.keys())
def test_what_goes_wrong_is_told_to_the_model(agent: Agent, world: World, call: list[Any], status: int,
                                              error: str) -> None:
    seen, asked = len(world.robot.output), len(world.chat.output)
    result = run(agent, [call])
    assert [step.status for step in result.steps] == [status]
    assert error in told(result.steps[0])['error']
    assert result.finish_reason == ('refused' if status == TaskStep.REFUSED else 'done')
    if status == TaskStep.REFUSED:
        assert world.events(seen) == []
    assert world.goals(asked)[1]['messages'][-1] == ['tool', result.steps[0].result, []]


def test_after_a_failure_the_other_calls_of_the_answer_are_not_made(agent: Agent, world: World) -> None:
    seen = len(world.robot.output)
    result = run(agent, [['missing', {}], ON, ON], [ON])
    assert [step.status for step in result.steps] == [
        TaskStep.FAILED, TaskStep.REFUSED, TaskStep.REFUSED, TaskStep.SUCCEEDED]
    assert world.events(seen) == [['light', True]]


def test_the_same_call_only_so_often(agent: Agent, world: World) -> None:
    seen = len(world.robot.output)
    result = run(agent, *[[ON]] * 5)
    assert [step.status for step in result.steps] == [TaskStep.SUCCEEDED] * 3 + [TaskStep.REFUSED] * 2
    assert world.events(seen) == [['light', True]] * 3


def test_a_rare_tool_waits_over_tasks(agent: Agent) -> None:
    assert run(agent, [['rare', {}]]).steps[0].status == TaskStep.SUCCEEDED
    again = run(agent, [['rare', {}]]).steps[0]
    assert again.status == TaskStep.REFUSED and 'may be called every 1000 s' in again.result


def test_the_steps_are_limited(agent: Agent) -> None:
    result = run(agent, *[[['light', {'data': i % 2 == 0}]] for i in range(9)], max_steps=2)
    assert (result.finish_reason, len(result.steps)) == ('steps', 2)
    result = run(agent, [ON] * 9, max_steps=2)
    assert (result.finish_reason, len(result.steps)) == ('steps', 2)


def test_one_motion_at_a_time(agent: Agent, world: World) -> None:
    """Also after a call that was given up: the robot may not have stopped."""
    seen = len(world.robot.output)
    result = run(agent, [['short_go', {'max_steps': 40, 'instruction': 'stubborn'}]],
                 [['drive', {'linear': {'x': 0.1}, 'duration': 0.1}]], [ON])
    assert [step.status for step in result.steps] == [TaskStep.FAILED, TaskStep.REFUSED, TaskStep.SUCCEEDED]
    assert 'may still run' in result.steps[0].result
    assert told(result.steps[1])['error'] == 'short_go still runs, and the robot does one motion at a time'
    wait_for(lambda: ['go', 'end'] in world.events(seen))


def test_one_task_at_a_time(agent: Agent) -> None:
    goal = agent.send([{'status': 'silent'}])
    assert goal.handle.accepted
    assert not agent.send([]).handle.accepted
    goal.cancel()
    assert goal.result()[0] == GoalStatus.STATUS_CANCELED


@pytest.mark.parametrize('fields', [{'script': ''}, {'script': ' '}, {'script': 'a' * 20001},
                                    {'script': [], 'conversation_id': 'a' * 257}])
def test_an_impossible_task_is_rejected(agent: Agent, fields: dict[str, Any]) -> None:
    assert not agent.send(**fields).handle.accepted


def test_the_model_fails(agent: Agent) -> None:
    result = run(agent, {'status': 'abort', 'error_code': 7, 'error_msg': 'no memory'})
    assert (result.finish_reason, result.error_code, result.error_msg) == ('aborted', 7, 'no memory')
    result = run(agent, {'status': 'abort', 'error_code': 12345})
    assert (result.finish_reason, result.error_code) == ('aborted', 999)


def test_a_report_that_is_cut_off_says_so(agent: Agent) -> None:
    result = run(agent, {'text': 'The light', 'finish_reason': 'length'})
    assert (result.finish_reason, result.report) == ('done', 'The light')
    assert 'cut off' in result.error_msg


def test_the_time_is_limited(agent: Agent) -> None:
    status, result = agent.send([{'status': 'silent'}], time_limit=Duration(nanosec=300_000_000)).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, 4)
    assert result.error_msg == 'the time limit of 0.3 s has passed'


def test_feedback_and_audit_tell_each_step(agent: Agent) -> None:
    goal = agent.send([{'text': 'I try.', 'calls': [ON, ['fly', {}]]}])
    goal.result()
    wait_for(lambda: len([record for record in agent.records if record.goal_id == goal.handle.goal_id]) == 4)
    records = [record for record in agent.records if record.goal_id == goal.handle.goal_id]
    assert [(record.step.call.name, record.step.status) for record in records] == [
        ('light', TaskStep.RUNNING), ('light', TaskStep.SUCCEEDED),
        ('fly', TaskStep.RUNNING), ('fly', TaskStep.REFUSED)]
    assert [record.interface.rpartition('/')[2] for record in records] == ['light', 'light', '', '']
    wait_for(lambda: len([one for one in goal.feedback if one.steps]) == 4)
    assert 'I try.' in [one.delta for one in goal.feedback]


@pytest.mark.parametrize('agrees', [True, False])
def test_a_person_is_asked(agent: Agent, world: World, agrees: bool) -> None:
    seen, before = len(world.robot.output), len(agent.records)
    goal = agent.send([{'calls': [['gripper', {}]]}])
    wait_for(lambda: [record for record in agent.records[before:] if record.step.status == TaskStep.WAITING])
    assert world.events(seen) == []
    assert not agent.confirm('another', True).success
    call_id = agent.records[-1].step.call.id
    assert agent.confirm(call_id, agrees).success
    _, result = goal.result()
    assert result.steps[0].status == (TaskStep.SUCCEEDED if agrees else TaskStep.REFUSED)
    assert world.events(seen) == ([['light', True]] if agrees else [])
    assert not agent.confirm(call_id, True).success


def test_a_conversation_remembers_its_tasks(agent: Agent, world: World) -> None:
    run(agent, [ON], conversation_id='kitchen')
    seen = len(world.chat.output)
    run(agent, conversation_id='kitchen')
    (goal,) = world.goals(seen)
    assert [role for role, _, _ in goal['messages']] == ['system', 'user', 'assistant', 'tool', 'assistant', 'user']


def test_a_conversation_forgets_what_does_not_fit(agent: Agent, world: World) -> None:
    for _ in range(3):
        run(agent, conversation_id='hall')
    seen = len(world.chat.output)
    assert run(agent, {'text': 'Well.', 'fits': 4}, conversation_id='hall').report == 'Well.'
    assert [len(goal['messages']) for goal in world.goals(seen)] == [8, 6, 4]
    result = run(agent, {'fits': 1}, conversation_id='hall')
    assert (result.finish_reason, result.error_code) == ('aborted', 2)


def test_nobody_agrees(start_agent: Any, world: World) -> None:
    agent = start_agent(confirm_time_limit=1.0)
    seen = len(world.robot.output)
    result = run(agent, [['gripper', {}]])
    assert told(result.steps[0])['error'] == 'nobody has confirmed the call within 1 s'
    assert world.events(seen) == []


def test_a_dry_run_sends_nothing(start_agent: Any, world: World) -> None:
    agent = start_agent(dry_run=True)
    seen = len(world.robot.output)
    result = run(agent, [ON], [['drive', {'linear': {'x': 0.1}, 'duration': 9}]], [['drive', {}]], [['go', {
        'max_steps': 1}]], [['gripper', {}]], [['say', {'data': 'a'}]], [['battery', {}]])
    assert [step.status for step in result.steps] == [
        TaskStep.REFUSED if i == 2 else TaskStep.SUCCEEDED for i in range(7)]
    assert told(result.steps[0]) == {'ok': True, 'dry_run': True}
    assert told(result.steps[6])['message']['percentage'] == 0.5
    wait_for(lambda: len(agent.records) >= 14)
    assert all(record.dry_run for record in agent.records)
    assert world.events(seen) == []


def test_without_a_chat_node(start_agent: Any) -> None:
    agent = start_agent(chat='nowhere/chat', time_limit=1.0)
    result = run(agent, [ON])
    assert (result.finish_reason, result.error_code, result.steps) == ('aborted', 4, [])
