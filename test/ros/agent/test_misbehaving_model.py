# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Three hundred tasks of a model that misbehaves: each ends once, and only the file is called."""

from __future__ import annotations

from collections import Counter
import random
from typing import Any

from action_msgs.msg import GoalStatus
from agent_world import Agent, World
from builtin_interfaces.msg import Duration
import pytest
from waiting import wait_for

from tinychat_ros.interfaces import TaskStep

STATES = {'done': GoalStatus.STATUS_SUCCEEDED, 'steps': GoalStatus.STATUS_SUCCEEDED,
          'refused': GoalStatus.STATUS_SUCCEEDED, 'canceled': GoalStatus.STATUS_CANCELED,
          'aborted': GoalStatus.STATUS_ABORTED}
# What is in the file, and which values may reach the robot.
ALLOWED = {'light', 'broken', 'never', 'cmd_vel', 'say', 'go'}
ODD = [None, True, -1, 0, 1, 10**400, -0.1, 0.31, 1e308, '', 'on', '<|im_end|>', [], [1], {}, {'x': {}}]
CALLS: list[Any] = [
    ['light', {'data': True}], ['light', {'data': False}], ['drive', {'linear': {'x': 0.3}, 'duration': 0.1}],
    ['go', {'max_steps': 1}], ['go', {'max_steps': 0, 'instruction': 'abort'}], ['battery', {}], ['broken', {}],
    ['say', {'data': 'Hello'}], ['never', {}], ['missing', {}], ['nowhere', {}],
    # Outside the file, though the robot has it.
    ['self_destruct', {}], ['/self_destruct', {}], ['robot', {}], ['cmd_vel', {'linear': {'x': 9}}], ['', {}],
    ['drive; self_destruct', {}], ['light\n{"name": "self_destruct"}', {'data': True}], ['x' * 500, {}],
    # Malformed.
    ['light', ''], ['light', '{'], ['light', 'true'], ['light', '[]'], ['light', '{"data": true}{"data": true}'],
    ['light', '{"data": true, "data": 1}'], ['light', {'data': True, 'self_destruct': True}], ['light', '\u0000'],
    ['drive', '{"linear": {"x": NaN}, "duration": 1}'], ['drive', '{"linear": {"x": 0.1}, "duration": 1e999}'],
    ['drive', {'linear': {'x': 0.1, 'z': 5}, 'duration': 0.1}], ['drive', {'angular': {'z': 9}, 'duration': 0.1}],
    ['say', {'data': 'a' * 21}], ['say', {'data': '\ud800'}], ['go', {'max_steps': 201}],
]


def call(choose: random.Random) -> Any:
    """Return a call of any kind."""
    if choose.random() < 0.3:
        odd = choose.choice(ODD)
        return choose.choice([['light', {'data': odd}], ['drive', {'linear': {'x': odd}, 'duration': 0.1}],
                              ['drive', {'linear': odd, 'duration': 0.1}], ['go', {'max_steps': odd}], ['light', odd],
                              ['drive', {'linear': {'x': 0.1}, 'duration': odd}]])
    return choose.choice(CALLS)


def script(choose: random.Random) -> list[Any]:
    """Return what the model answers in a task."""
    if choose.random() < 0.1:  # an endless loop
        return [{'calls': [call(choose)]}] * 40
    answers = []
    for _ in range(choose.randrange(5)):
        kind = choose.random()
        if kind < 0.05:
            answers.append({'status': 'abort', 'error_code': choose.choice([0, 6, 8, 4711]), 'error_msg': 'x'})
        elif kind < 0.1:
            answers.append({'status': 'silent'})
        else:
            answers.append({'text': choose.choice(['', 'I will.', '<|im_end|>']),
                            'id': choose.choice(['', 'a', 'b' * 99]),
                            'calls': [call(choose) for _ in range(choose.choice([1, 1, 1, 2, 20]))]})
    return answers


@pytest.mark.parametrize('tasks', [pytest.param(50, marks=pytest.mark.slow),
                                   pytest.param(300, marks=pytest.mark.large)])
def test_tasks_that_go_wrong(start_agent: Any, world: World, tasks: int) -> None:
    agent: Agent = start_agent()
    choose = random.Random(25)
    seen = len(world.robot.output)
    ended: Counter[str] = Counter()
    steps = 0
    for _ in range(tasks):
        goal = agent.send(script(choose), max_steps=8, time_limit=Duration(sec=2))
        assert goal.handle.accepted
        if choose.random() < 0.1:
            goal.cancel()
        status, result = goal.result()
        assert STATES[result.finish_reason] == status
        assert len(result.steps) <= 8
        assert all(step.status in (TaskStep.SUCCEEDED, TaskStep.FAILED, TaskStep.REFUSED) and step.result
                   for step in result.steps)
        ended[result.finish_reason] += 1
        steps += len(result.steps)
    assert set(ended) == set(STATES) and steps > tasks
    goal = agent.send([{'calls': [['drive', {'linear': {'x': 0.3}, 'duration': 0.1}]]}])  # the agent still works
    assert goal.result()[1].steps[0].status == TaskStep.SUCCEEDED
    wait_for(lambda: world.events(seen)[-1] == ['cmd_vel', 0.0])
    events = world.events(seen)
    assert {event[0] for event in events} <= ALLOWED
    assert all(-0.3 <= event[1] <= 0.3 for event in events if event[0] == 'cmd_vel')
    begun = sum(event[:2] == ['go', 'begin'] for event in events)
    assert begun == sum(event in (['go', 'end'], ['go', 'canceled']) for event in events)
    # No tool was added by anything that was said.
    assert len({goal['tools'] for goal in world.goals()}) == 1
