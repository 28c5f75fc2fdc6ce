# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The publishers' qualities of service are parameters; config/qos_overrides.yaml is an example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from scripted_engine import ScriptedEngine

from tinychat_ros.chat_node import ChatNode

CONFIG = Path(__file__).parents[2] / 'config'


@pytest.fixture
def qos() -> Iterator[Callable[..., QoSProfile]]:
    """Return a function that starts a node with these arguments and returns a publisher's QoS."""
    nodes: list[ChatNode] = []

    def published(topic: str, *arguments: str) -> QoSProfile:
        node = ChatNode(lambda *_, **__: ScriptedEngine(), cli_args=['--ros-args', *arguments])
        nodes.append(node)
        (publisher,) = [publisher for publisher in node.publishers if publisher.topic_name == topic]
        return publisher.qos_profile

    yield published
    for node in nodes:
        node.end()
        node.destroy_node()


def test_without_the_file(qos: Callable[..., QoSProfile]) -> None:
    tokens = qos('/tinychat/tokens')
    assert (tokens.reliability, tokens.durability) == (ReliabilityPolicy.RELIABLE,
                                                       DurabilityPolicy.VOLATILE)


def test_with_the_file_tokens_are_sent_once(qos: Callable[..., QoSProfile]) -> None:
    file = str(CONFIG / 'qos_overrides.yaml')
    assert qos('/tinychat/tokens', '--params-file', file).reliability == ReliabilityPolicy.BEST_EFFORT


def test_they_hold_for_the_one_node(qos: Callable[..., QoSProfile]) -> None:
    qos('/tinychat/tokens', '-p', 'qos_overrides./tinychat/tokens.publisher.reliability:=best_effort')
    assert qos('/tinychat/tokens').reliability == ReliabilityPolicy.RELIABLE


@pytest.mark.parametrize('topic', ['/tinychat/tokens', '/tinychat/state', '/diagnostics'])
def test_every_publisher_can_be_overridden(qos: Callable[..., QoSProfile], topic: str) -> None:
    override = f'qos_overrides.{topic}.publisher.reliability:=best_effort'
    assert qos(topic, '-p', override).reliability == ReliabilityPolicy.BEST_EFFORT


def test_that_of_sentences_too(qos: Callable[..., QoSProfile]) -> None:
    assert qos('/say', '-p', 'sentence_topic:=/say').depth == 100
    assert qos('/say', '-p', 'sentence_topic:=/say', '-p', 'qos_overrides./say.publisher.depth:=1').depth == 1
