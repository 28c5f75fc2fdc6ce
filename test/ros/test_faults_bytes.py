# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Bytes that are no text, written by a client in C or C++, reach the model as replacement characters."""

from __future__ import annotations

import struct

import pytest
from rclpy.qos import QoSProfile
from robot import Robot
from scripted_engine import ScriptedEngine
from std_msgs.msg import String
from waiting import wait_for

CDR_LITTLE_ENDIAN = b'\0\1\0\0'


def serialized(data: bytes) -> bytes:
    """Return a String with these bytes as it goes over the wire."""
    return CDR_LITTLE_ENDIAN + struct.pack('<I', len(data) + 1) + data + b'\0'


@pytest.mark.parametrize(('data', 'text'), [
    (b'caf\xe9', 'caf\N{REPLACEMENT CHARACTER}'),  # Latin-1
    (b'cut \xf0\x9f\x98', 'cut \N{REPLACEMENT CHARACTER}'),
    (b'surrogate \xed\xa0\x80', 'surrogate ' + 3 * '\N{REPLACEMENT CHARACTER}'),
])
def test_invalid_utf_8(robot: Robot, engine: ScriptedEngine, data: bytes, text: str) -> None:
    publisher = robot.client_node.create_publisher(String, 'tinychat/prompt', QoSProfile(depth=10))
    wait_for(publisher.get_subscription_count)
    publisher.publish(serialized(data))
    wait_for(lambda: any(token.last for token in robot.tokens))
    assert engine.dialogues[0][-1]['content'] == text
    assert robot.tokens[-1].finish_reason == 'stop'
