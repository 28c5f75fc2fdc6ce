# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The tools file: what it may say, and one line for what it may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tinychat_core.errors import TinyChatError
from tinychat_core.text.tool_calls.tools import tool_use
from tinychat_ros.agent.tool import read_tools, Tool

LIGHT = {'name': 'light', 'description': 'Switch the light.', 'service': '/light', 'type': 'std_srvs/srv/SetBool',
         'fields': {'data': {'description': 'on or off'}}}
DRIVE = {'name': 'drive', 'description': 'Drive.', 'publish': '/cmd_vel', 'type': 'geometry_msgs/msg/Twist',
         'fields': {'linear': {'fields': {'x': {'minimum': -0.3, 'maximum': 0.3}}}}, 'duration': {'maximum': 10.0}}
BATTERY = {'name': 'battery', 'description': 'Read the battery.', 'read': '/battery',
           'type': 'sensor_msgs/msg/BatteryState', 'result': ['percentage', 'header.frame_id']}


def read(tmp_path: Path, content: Any) -> dict[str, Tool]:
    path = tmp_path / 'tools.yaml'
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return read_tools(str(path))[0]


def refusal(tmp_path: Path, content: Any) -> str:
    with pytest.raises(TinyChatError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert '\n' not in message and str(tmp_path / 'tools.yaml') in message
    return message


def test_a_file_of_all_kinds(tmp_path: Path) -> None:
    tools = read(tmp_path, {'tools': [LIGHT, DRIVE, BATTERY]})
    assert [*tools] == ['light', 'drive', 'battery']
    assert [tool.spec.is_motion for tool in tools.values()] == [False, True, False]
    assert tools['drive'].definition()['function']['parameters'] == {
        'type': 'object', 'additionalProperties': False, 'required': ['linear', 'duration'], 'properties': {
            'linear': {'type': 'object', 'additionalProperties': False, 'required': ['x'], 'properties': {
                'x': {'type': 'number', 'minimum': -0.3, 'maximum': 0.3}}},
            'duration': {'description': 'for how long [s]', 'type': 'number', 'minimum': 0.1, 'maximum': 10.0}}}


def test_the_chat_node_takes_the_definitions(tmp_path: Path) -> None:
    tools = read(tmp_path, {'tools': [LIGHT, DRIVE, BATTERY]})
    use = tool_use(json.dumps([tool.definition() for tool in tools.values()]))
    assert [tool.name for tool in use.tools] == ['light', 'drive', 'battery']


def changed(tool: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {'tools': [{name: value for name, value in {**tool, **changes}.items() if value is not None}]}


WRONG: dict[str, tuple[Any, str]] = {
    'empty': ('', 'a list named tools'),
    'no YAML': ('tools: [', 'is no YAML'),
    'code': ('tools: !!python/object/apply:os.system [ls]', 'is no YAML'),
    'no tools': ({'tools': []}, 'tools: expected array of length >= 1'),
    'unknown setting of the file': ({'tools': [LIGHT], 'tool': []}, 'unknown field tool'),
    'two of one name': ({'tools': [LIGHT, {**LIGHT}]}, 'there are two tools named light'),
    'a key twice': ('tools: [{name: a, name: b}]', "the key 'name' is there twice"),
    'no description': (changed(LIGHT, description=None), 'tool light: object missing required field description'),
    'a name with a blank': (changed(LIGHT, name='my light'), 'tool my light: name: expected str matching'),
    'unknown setting': (changed(LIGHT, timeout=3), 'tool light: object contains unknown field timeout'),
    'unknown limit': (changed(LIGHT, fields={'data': {'minimun': 1}}),
                      'tool light: fields.*: object contains unknown field minimun'),
    'no interface': (changed(LIGHT, service=None), 'exactly one of service, action, publish, read'),
    'two interfaces': (changed(LIGHT, read='/a'), 'not service and read'),
    'a bad topic': (changed(LIGHT, service='/a b'), 'service: Invalid topic name'),
    'no package': (changed(LIGHT, type='nowhere_msgs/srv/X'), 'the package nowhere_msgs is not installed'),
    'no type': (changed(LIGHT, type='std_srvs/srv/Setbool'), 'does not exist; is it std_srvs/srv/SetBool?'),
    'a type of two parts': (changed(LIGHT, type='std_srvs/SetBool'), 'such as std_srvs/srv/SetBool'),
    'a type of another kind': (changed(LIGHT, type='std_msgs/msg/Bool'), 'type must be one of a srv file'),
    'no type name': (changed(LIGHT, type='../etc'), 'type must be like package_name/srv/TypeName'),
    'a package without such types': (changed(LIGHT, type='rclpy/srv/X'), 'rclpy has no types in srv'),
    'unknown field': (changed(LIGHT, fields={'date': {}}), "has no field 'date'; is it data?"),
    'unknown inner field': (changed(DRIVE, fields={'linear': {'fields': {'forward': {}}}}),
                            "fields.linear: geometry_msgs/msg/Vector3 has no field 'forward'; it has x, y, z"),
    'unknown default': (changed(LIGHT, fields={}, defaults={'date': True}), "defaults: has no field 'date'"),
    'a default of another type': (changed(LIGHT, fields={}, defaults={'data': 'on'}),
                                  "defaults.data: must be true or false, not 'on'"),
    'a default that is out of range': (changed(DRIVE, fields={'linear': {'fields': {'x': {
        'maximum': 1.0, 'default': 2.0}}}}), 'fields.linear.x: default: must be'),
    'a field twice': (changed(LIGHT, defaults={'data': True}), 'data is in fields and in defaults'),
    'a limit of another type': (changed(LIGHT, fields={'data': {'maximum': 1}}), 'maximum does not fit a boolean'),
    'a limit of a message': (changed(DRIVE, fields={'linear': {'maximum': 1}}), 'maximum does not fit a message'),
    'a length of a number': (changed(DRIVE, fields={'linear': {'fields': {'x': {'max_length': 1}}}}),
                             'max_length does not fit a number'),
    'limits in the wrong order': (changed(DRIVE, fields={'linear': {'fields': {'x': {'minimum': 2, 'maximum': 1}}}}),
                                  'minimum 2 is above maximum 1'),
    'a limit that is no number': (changed(DRIVE, fields={'linear': {'fields': {'x': {'minimum': float('nan')}}}}),
                                  'fields.linear.x: minimum nan is outside'),
    'a choice of another type': (changed(LIGHT, fields={'data': {'choices': ['on']}}), 'data: choices: must be true'),
    'a duration of a service': (changed(LIGHT, duration=1.0), 'duration has no effect for service'),
    'a duration the wrong way round': (changed(DRIVE, duration={'minimum': 2.0, 'maximum': 1.0}), 'above maximum'),
    'an endless duration': (changed(DRIVE, duration=float('inf')), 'tool drive: duration'),
    'a stop without a duration': (changed(DRIVE, duration=None, stop={}), 'stop has no effect'),
    'a wrong stop': (changed(DRIVE, stop={'linear': {'x': 'no'}}), 'stop.linear.x: must be a number'),
    'fields to read': (changed(BATTERY, fields={'voltage': {}}), 'fields has no effect for a topic to read'),
    'a result that is not there': (changed(BATTERY, result=['charges']), 'result: sensor_msgs/msg/BatteryState has no'),
    'an inner result that is not there': (changed(BATTERY, result=['percentage.x']), 'percentage.x'),
    'a result of nothing': (changed(DRIVE, result=['linear']), 'result has no effect for publish'),
    'a time limit of nothing': (changed(LIGHT, time_limit=0.0), 'tool light: time_limit: expected float > 0'),
    'an example of no tool': ({'tools': [LIGHT], 'examples': [{'instruction': 'Fly.', 'report': 'I flew.', 'calls': [
        {'name': 'fly'}]}]}, "example 'Fly.': fly: there is no tool 'fly'"),
    'an example out of range': ({'tools': [DRIVE], 'examples': [{'instruction': 'Go.', 'report': 'I went.', 'calls': [
        {'name': 'drive', 'arguments': {'linear': {'x': 9}, 'duration': 1}}]}]}, 'drive: linear.x: must be -0.3'),
    'an example without a report': ({'tools': [LIGHT], 'examples': [{'instruction': 'Go.'}]},
                                    'examples[0]: object missing required field report'),
    'a time limit as a text': (changed(LIGHT, time_limit='1e1'), 'time_limit: expected float, got str'),
}


@pytest.mark.parametrize(('content', 'reason'), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_one_line(tmp_path: Path, content: Any, reason: str) -> None:
    assert reason in refusal(tmp_path, content)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path, reason in (('', 'name the YAML file'), (str(tmp_path), 'is a directory'),
                         (str(tmp_path / 'x.yaml'), 'is missing')):
        with pytest.raises(TinyChatError, match=reason):
            read_tools(path)
