# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Namespaces, remapped names, and two nodes on one machine."""

from __future__ import annotations

from typing import Any

from rclpy.action import ActionClient
from rclpy.qos import QoSProfile
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros.chat_node import ChatNode
from tinychat_ros.interfaces import Chat, Token

LIFECYCLE = {'change_state', 'get_state', 'get_available_states', 'get_available_transitions',
             'get_transition_graph', 'transition_event'}
OWN = {'tokens', 'state', 'prompt', 'tokenize', 'get_model_info', 'reset_conversation', 'decide', 'embed', 'chat'}


def test_all_names_lie_below_the_node_but_diagnostics(robot: Robot) -> None:
    node, namespace = robot.node, robot.node.get_namespace()
    named = (node.get_publisher_names_and_types_by_node('tinychat', namespace) +
             node.get_subscriber_names_and_types_by_node('tinychat', namespace) +
             node.get_service_names_and_types_by_node('tinychat', namespace))
    names = {name for name, _ in named}
    own = {name.removeprefix(f'{namespace}/tinychat/').partition('/')[0] for name in names
           if name.startswith(f'{namespace}/tinychat/')}
    rclpy_own = {name for name in own if 'parameter' in name or 'type_description' in name}
    assert own - rclpy_own == OWN | LIFECYCLE
    absolute = {name for name in names if not name.startswith(f'{namespace}/')}
    assert absolute - {'/rosout', '/parameter_events', '/clock'} == {'/diagnostics'}


def test_two_nodes_answer_their_own_goals(start: Any) -> None:
    engines = {'one': ScriptedEngine(), 'two': ScriptedEngine()}
    robots = {name: start(lambda model, *_, **__: engines[model], model=name) for name in engines}
    for name, engine in engines.items():
        engine.words = [f'I am {name}.']
    for name, robot in robots.items():
        assert robot.send().result()[1].text == f'I am {name}.'
    assert [''.join(token.delta for token in robot.tokens) for robot in robots.values()] == [
        'I am one.', 'I am two.']


def test_two_nodes_of_one_namespace_with_names_of_their_own(robot: Robot) -> None:
    engine = ScriptedEngine()
    engine.words = ['I am the butler.']
    namespace = robot.node.get_namespace()
    heard: list[Token] = []
    robot.client_node.create_subscription(Token, 'speech/words', heard.append, QoSProfile(depth=1000))
    remapped = ['-r', '__node:=butler', '-r', '~/tokens:=speech/words', '-r', f'__ns:={namespace}']
    butler = ChatNode(lambda *_, **__: engine, cli_args=['--ros-args', *remapped, '-p', 'model:=scripted'])
    robot.serve(butler)
    assert butler.get_fully_qualified_name() == f'{namespace}/butler'
    client = robot.new_client('butler/chat')
    wait_for(client.server_is_ready)
    wait_for(lambda: butler.count_subscribers(f'{namespace}/speech/words') and
             robot.client_node.count_publishers('speech/words'))
    goal = wait_for(lambda: served(client))
    future = goal.get_result_async()
    wait_for(future.done)
    assert future.result().result.text == 'I am the butler.'
    wait_for(lambda: heard and heard[-1].last)
    assert ''.join(token.delta for token in heard) == 'I am the butler.'
    assert robot.send().result()[1].text == 'Robots need maps.'
    assert len({bytes(token.goal_id.uuid) for token in heard}) == 1


def served(client: ActionClient) -> Any:
    """Send a goal and return its handle; None where it was rejected, as one is while the node starts."""
    sent = client.send_goal_async(Chat.Goal(prompt='Hello'))
    wait_for(sent.done)
    return sent.result() if sent.result().accepted else None
