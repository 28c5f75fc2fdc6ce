# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""~/decide and ~/embed on a node with a real engine: a model of two random layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from robot import Robot
from scripted_engine import ScriptedEngine
from sensor_msgs.msg import Image
from tiny_engine import tiny_engine
from waiting import wait_for

from tinychat_core.generation import SHORTEST_PIECE
from tinychat_ros.interfaces import Decide, Embed, Message


@pytest.fixture(scope='module')
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    directory = tmp_path_factory.mktemp('tiny')
    robot = Robot(lambda *_, **__: tiny_engine(directory))
    yield robot
    robot.close()


def test_a_decision_has_a_probability_for_each_option(robot: Robot) -> None:
    answer = robot.call(Decide, 'decide', Decide.Request(question='Is it open?', options=['yes', 'no', 'perhaps']))
    assert (answer.success, answer.message, answer.prompt_tokens) == (True, '', 11)
    assert len(answer.probabilities) == 3 and sum(answer.probabilities) == pytest.approx(1.0, abs=1e-6)
    assert answer.best == int(np.argmax(answer.probabilities))
    assert answer.entropy == pytest.approx(-sum(p * np.log(p) for p in answer.probabilities), abs=1e-5)
    again = robot.call(Decide, 'decide', Decide.Request(messages=[Message(role='user', content='Is it open?')],
                                                        options=['yes', 'no', 'perhaps']))
    assert list(again.probabilities) == list(answer.probabilities)
    assert again.reused_tokens == 11 - SHORTEST_PIECE


def test_yes_or_no_unless_told_otherwise(robot: Robot) -> None:
    assert len(robot.call(Decide, 'decide', Decide.Request(question='x')).probabilities) == 2


@pytest.mark.parametrize(('fields', 'told'), [
    ({}, 'either a prompt or messages'), ({'question': 'x', 'options': ['a']}, '2 .. 1000'),
    ({'question': 'x', 'options': ['a', 'a']}, 'twice'), ({'question': 'x' * 200}, 'context'),
    ({'question': 'x', 'images': [Image()]}, 'images: the model sees none'),
    ({'question': 'x', 'image_topics': ['no topic']}, "'no topic' is not the name of a topic"),
    ({'messages': [Message(role='user', content='x')], 'images': [Image()]}, 'no message names image 0'),
    ({'messages': [Message(role='robot', content='x')]}, 'role')], ids=str)
def test_what_cannot_be_decided_says_why(robot: Robot, fields: dict[str, Any], told: str) -> None:
    answer = robot.call(Decide, 'decide', Decide.Request(**fields))
    assert (answer.success, answer.best, list(answer.probabilities)) == (False, -1, []) and told in answer.message


def test_texts_become_vectors(robot: Robot) -> None:
    answer = robot.call(Embed, 'embed', Embed.Request(texts=['hello', 'a door', 'hello']))
    assert (answer.success, answer.dimensions) == (True, 64)
    vectors = np.array(answer.embeddings).reshape(3, 64)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5) and np.array_equal(vectors[0], vectors[2])
    plain = robot.call(Embed, 'embed', Embed.Request(texts=['hello'], normalize=False))
    assert np.allclose(np.array(plain.embeddings) / np.linalg.norm(plain.embeddings), vectors[0], atol=1e-5)


@pytest.mark.parametrize(('texts', 'told'), [([], '1 .. 2048'), (['a', ''], 'texts[1]'), (['x' * 200], 'context')])
def test_what_cannot_be_embedded_says_why(robot: Robot, texts: list[str], told: str) -> None:
    answer = robot.call(Embed, 'embed', Embed.Request(texts=texts))
    assert not answer.success and told in answer.message


def test_without_a_model_they_say_so(start: Callable[..., Robot]) -> None:
    robot = start(autostart=False)
    for kind, name, request in ((Decide, 'decide', Decide.Request(question='x')),
                                (Embed, 'embed', Embed.Request(texts=['x']))):
        answer = robot.call(kind, name, request)
        assert not answer.success and 'not active' in answer.message


def test_a_decision_waits_its_turn_and_ends_with_the_node(start: Callable[..., Robot], engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 100, 3
    robot = start(queue_depth=1)
    goal = robot.send()
    goal.await_text()
    client = robot.client_node.create_client(Decide, 'tinychat/decide')
    first = client.call_async(Decide.Request(question='x'))
    wait_for(lambda: robot.node._service is not None and robot.node._service.waiting == 1)
    refused = robot.call(Decide, 'decide', Decide.Request(question='x'))
    assert not refused.success and 'queue full' in refused.message
    robot.node.trigger_deactivate()
    wait_for(first.done)
    assert not first.result().success and 'deactivated' in first.result().message
    engine.stands_at = None
