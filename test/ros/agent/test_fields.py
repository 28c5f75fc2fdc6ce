# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""From a ROS type and limits to a JSON schema, and from the model's arguments to a message, or a refusal."""

from __future__ import annotations

import json
import math
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Polygon, PoseStamped, PoseWithCovariance, Twist
import pytest
from sensor_msgs.msg import BatteryState, JointState, NavSatStatus
from std_msgs.msg import ByteMultiArray, Empty, Int64, String, UInt8MultiArray
from unique_identifier_msgs.msg import UUID

from tinychat_core.errors import InvalidParameterError
from tinychat_core.text.tool_calls.tools import tool_use
from tinychat_ros.agent.fields import Structure
from tinychat_ros.agent.message_data import as_json, message_data
from tinychat_ros.agent.message_template import MessageTemplate
from tinychat_ros.agent.tools_file import FieldSpec
from tinychat_ros.interfaces import Chat, Embed

NOW = Time(sec=7)


@pytest.mark.parametrize('cls', [
    Twist, PoseStamped, PoseWithCovariance, Polygon, BatteryState, JointState, Int64, Empty, ByteMultiArray,
    NavSatStatus, Chat.Goal, Embed.Request], ids=lambda cls: cls.__name__)
def test_every_type_has_a_schema_that_the_chat_node_enforces(cls: Any) -> None:
    schema = Structure(cls, None, '').schema()
    tool_use(json.dumps([{'type': 'function', 'function': {'name': 'a', 'parameters': schema}}]))


def test_the_schema_of_each_kind() -> None:
    schema = Structure(JointState, {
        'name': FieldSpec(max_items=2, max_length=8), 'position': FieldSpec(minimum=-1, maximum=1, description='[rad]'),
        'header': FieldSpec(fields={'frame_id': FieldSpec(choices=['map', 'base'], default='map')}),
    }, '').schema()
    assert schema['properties'] == {
        'name': {'type': 'array', 'items': {'type': 'string', 'maxLength': 8}, 'minItems': 0, 'maxItems': 2},
        'position': {'description': '[rad]', 'type': 'array', 'minItems': 0, 'maxItems': 32, 'items': {
            'type': 'number', 'minimum': -1, 'maximum': 1}},
        'header': {'type': 'object', 'properties': {'frame_id': {'enum': ['map', 'base'], 'default': 'map'}},
                   'required': [], 'additionalProperties': False}}
    assert schema['required'] == ['name', 'position', 'header']


def test_whole_numbers_keep_to_their_type() -> None:
    assert Structure(NavSatStatus, None, '').schema()['properties'] == {
        'status': {'type': 'integer', 'minimum': -128, 'maximum': 127},
        'service': {'type': 'integer', 'minimum': 0, 'maximum': 65535}}
    exact = Structure(Int64, None, '').schema()['properties']['data']
    assert exact == {'type': 'integer', 'minimum': -2**53, 'maximum': 2**53}
    assert Structure(UUID, None, '').schema()['properties']['uuid'] == {
        'type': 'array', 'items': {'type': 'integer', 'minimum': 0, 'maximum': 255}, 'minItems': 16, 'maxItems': 16}


def test_an_array_of_messages_with_limits_within() -> None:
    points = {'points': FieldSpec(max_items=2, fields={'x': FieldSpec(maximum=1), 'y': FieldSpec(default=0.5)})}
    template = MessageTemplate(Polygon, points, {})
    message = template.message({'points': [{'x': 1}, {'x': -3.5, 'y': 2}]}, NOW)
    assert [(point.x, point.y, point.z) for point in message.points] == [(1.0, 0.5, 0.0), (-3.5, 2.0, 0.0)]
    with pytest.raises(InvalidParameterError, match=r'points\[1\].x: must be'):
        template.message({'points': [{'x': 1}, {'x': 1.5}]}, NOW)


def test_defaults_and_the_time() -> None:
    position = FieldSpec(fields={'x': FieldSpec()})
    template = MessageTemplate(PoseStamped, {'pose': FieldSpec(fields={'position': position})},
                               {'header': {'frame_id': 'map', 'stamp': 'now'}, 'pose': {'orientation': {'w': 1}}})
    message = template.message({'pose': {'position': {'x': 2}}}, NOW)
    assert (message.header.frame_id, message.header.stamp.sec, message.pose.position.x) == ('map', 7, 2.0)
    assert message.pose.orientation.w == 1.0


def test_bytes() -> None:
    template = MessageTemplate(ByteMultiArray, {'data': FieldSpec()}, {})
    assert template.message({'data': [1, 255]}, NOW).data == [b'\x01', b'\xff']
    bounded = MessageTemplate(UInt8MultiArray, {'data': FieldSpec(maximum=9)}, {})
    assert [*bounded.message({'data': [9]}, NOW).data] == [9]


TWIST = {'linear': FieldSpec(fields={'x': FieldSpec(minimum=-0.3, maximum=0.3)})}
REFUSED: dict[str, tuple[Any, Any, Any, str]] = {
    'above': (Twist, TWIST, {'linear': {'x': 0.31}}, 'linear.x: must be -0.3 .. 0.3, not 0.31'),
    'below': (Twist, TWIST, {'linear': {'x': -5}}, 'linear.x: must be'),
    'huge': (Twist, TWIST, {'linear': {'x': 10**400}}, 'linear.x: must be'),
    'infinite': (Twist, {'linear': FieldSpec()}, {'linear': {'x': math.inf, 'y': 0, 'z': 0}}, 'linear.x: must be'),
    'no number': (Twist, TWIST, {'linear': {'x': math.nan}}, 'linear.x: must be a number'),
    'a text': (Twist, TWIST, {'linear': {'x': '0.1'}}, "linear.x: must be a number, not '0.1'"),
    'true': (Twist, TWIST, {'linear': {'x': True}}, 'linear.x: must be a number, not True'),
    'null': (Twist, TWIST, {'linear': {'x': None}}, 'linear.x: must be a number, not None'),
    'a field of the type': (Twist, TWIST, {'linear': {'x': 0.1, 'y': 1}}, "linear: has no field 'y'; it has x"),
    'a field of nothing': (Twist, TWIST, {'linear': {'x': 0.1}, 'speed': 1}, "has no field 'speed'; it has linear"),
    'missing': (Twist, TWIST, {}, 'linear: is missing'),
    'missing within': (Twist, TWIST, {'linear': {}}, 'linear.x: is missing'),
    'a list': (Twist, TWIST, {'linear': [0.1]}, 'linear: must be an object'),
    'a fraction': (Int64, {'data': FieldSpec()}, {'data': 1.5}, 'data: must be a whole number, not 1.5'),
    'beyond the type': (NavSatStatus, {'status': FieldSpec()}, {'status': 128}, 'status: must be -128 .. 127'),
    'a long text': (String, {'data': FieldSpec(max_length=3)}, {'data': 'abcd'}, 'has 4 characters, and may have 3'),
    'a text by default': (String, {'data': FieldSpec()}, {'data': 'a' * 257}, 'may have 256'),
    'a NUL': (String, {'data': FieldSpec()}, {'data': 'a\0'}, 'a character that ROS cannot carry'),
    'half a character': (String, {'data': FieldSpec()}, {'data': '\ud800'}, 'a character that ROS cannot carry'),
    'no choice': (String, {'data': FieldSpec(choices=['a', 'b'])}, {'data': 'c'}, "data: must be one of 'a', 'b'"),
    'many items': (Polygon, {'points': FieldSpec()}, {'points': [{'x': 0, 'y': 0, 'z': 0}] * 33}, 'must have 0 .. 32'),
    'too few items': (UUID, {'uuid': FieldSpec()}, {'uuid': [1]}, 'must have 16 items, not 1'),
    'no list': (UUID, {'uuid': FieldSpec()}, {'uuid': 'abc'}, "uuid: must be a list, not 'abc'"),
    'nothing to set': (Twist, {}, {'x': 1}, 'it takes none'),
}


@pytest.mark.parametrize(('cls', 'fields', 'values', 'reason'), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_allowed_is_refused(cls: Any, fields: Any, values: Any, reason: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        MessageTemplate(cls, fields, {}).message(values, NOW)
    assert reason in str(caught.value)


def test_a_message_as_the_model_gets_it() -> None:
    battery = BatteryState(percentage=0.2, voltage=math.nan, cell_voltage=[1.5] * 40, location='x' * 2000)
    data = message_data(battery)
    assert (data['percentage'], data['voltage']) == (0.2, 'nan')
    assert (len(data['cell_voltage']), data['cell_voltage'][-1]) == (33, '… 40 in all')
    assert data['location'].endswith('… (2000 characters)')
    assert message_data(PoseStamped(), ['pose.position', 'header.frame_id']) == {
        'pose': {'position': {'x': 0.0, 'y': 0.0, 'z': 0.0}}, 'header': {'frame_id': ''}}
    assert message_data(ByteMultiArray(data=[b'\x07']))['data'] == [7]
    assert message_data(PoseWithCovariance())['covariance'][-1] == '… 36 in all'


def test_a_long_result_is_still_json() -> None:
    told = json.loads(as_json({'ok': True, 'response': ['é' * 900] * 32}))
    assert told['ok'] is True and told['cut'].endswith('…')
