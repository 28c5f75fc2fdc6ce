# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The SROS 2 policy allows what the nodes do, and no more; a node that should be secure is so, or does not start."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
import os
from pathlib import Path
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from waiting import wait_for

from tinychat_ros.agent.agent_node import AgentNode
from tinychat_ros.chat_client import ChatClient
from tinychat_ros.chat_node import ChatNode

POLICY = Path(__file__).resolve().parents[2] / 'sros2' / 'tinychat.policy.xml'
# What an endpoint does in the graph, and how the policy calls it.
KINDS = {'publisher': ('topics', 'publish'), 'subscriber': ('topics', 'subscribe'),
         'service': ('services', 'reply'), 'client': ('services', 'request')}
ACTION = {'publisher': {'feedback', 'status'}, 'service': {'send_goal', 'cancel_goal', 'get_result'}}
SIM_TIME = Parameter('use_sim_time', value=True)
Names = set[tuple[str, str]]  # of a kind and a resolved name
ENCLAVE_FILES = ('identity_ca.cert.pem', 'cert.pem', 'key.pem', 'permissions_ca.cert.pem', 'governance.p7s',
                 'permissions.p7s')


def allowed(enclave: str) -> dict[str, Names]:
    """Return what the policy allows the nodes of an enclave, with names resolved as sros2 does."""
    found: dict[str, Names] = {}
    for profile in ElementTree.parse(POLICY).iterfind(f"./enclaves/enclave[@path='{enclave}']/profiles/profile"):
        node, namespace = profile.attrib['node'], profile.attrib['ns'].rstrip('/')
        names = found[node] = set()
        for group in profile:
            (verb, qualifier), = group.attrib.items()
            assert qualifier == 'ALLOW'
            for item in group:
                text = str(item.text)
                name = text.replace('~', f'{namespace}/{node}', 1) if text[0] == '~' else text
                name = name if name[0] == '/' else f'{namespace}/{name}'
                names |= endpoints(group.tag, verb, name)
    return found


def endpoints(tag: str, verb: str, name: str) -> Names:
    """Return the endpoints that a line of the policy allows: an action is several topics and services."""
    if tag != 'actions':
        return {(kind, name) for kind, known in KINDS.items() if known == (tag, verb)}
    sides = {'publisher': 'publisher', 'service': 'service'} if verb == 'execute' else {
        'publisher': 'subscriber', 'service': 'client'}
    return {(sides[kind], f'{name}/_action/{part}') for kind, parts in ACTION.items() for part in parts}


def used(observer: Node, node: str) -> Names:
    """Return the endpoints of a node in the namespace /."""
    return {(kind, name) for kind in KINDS
            for name, _ in getattr(observer, f'get_{kind}_names_and_types_by_node')(node, '/')}


def without_type_description(names: Names) -> Names:
    """Leave out a service that Humble does not have."""
    return {(kind, name) for kind, name in names if not name.endswith('/get_type_description')}


@pytest.fixture
def context() -> Iterator[Context]:
    """Return a context of its own, whose nodes are all that a participant has."""
    context = Context()
    rclpy.init(context=context)
    yield context
    context.try_shutdown()


def test_the_policy_is_what_the_chat_node_uses(context: Context) -> None:
    node = ChatNode(context=context, parameter_overrides=[SIM_TIME, Parameter('autostart', value=False)])
    found = used(node, 'tinychat')
    node.destroy_node()
    assert without_type_description(allowed('/tinychat/node')['tinychat']) == without_type_description(found)


def test_the_policy_is_what_the_client_uses_and_its_tokens_are_its_own(context: Context) -> None:
    node = rclpy.create_node('chat_client', context=context)
    client = ChatClient(node, 'tinychat', 1.0)
    found = used(node, 'chat_client')
    del client
    node.destroy_node()
    names = allowed('/tinychat/client')['chat_client']
    assert without_type_description(names) == without_type_description(found)
    assert not any(name.endswith('/tokens') for _, name in names)


def test_the_policy_is_what_the_agent_and_its_stop_guard_use(context: Context, tmp_path: Path) -> None:
    tools = tmp_path / 'tools.yaml'
    tools.write_text('tools: [{name: drive, description: Drive., publish: /cmd_vel, type: geometry_msgs/msg/Twist, '
                     'duration: {maximum: 1.0}, fields: {linear: {fields: {x: {minimum: 0.0, maximum: 1.0}}}}}]')
    node = AgentNode(context=context, parameter_overrides=[SIM_TIME, Parameter('tools_file', value=str(tools))])
    policy = allowed('/tinychat/agent')

    def guard() -> Any:
        return next((name for name, _ in node.get_node_names_and_namespaces() if 'guard' in name), None)

    try:
        # Its parameter events and its services come a moment after its name.
        name = wait_for(guard)
        wait_for(lambda: used(node, name))
        found, guarding = used(node, 'tinychat_agent'), used(node, name)
    finally:
        node.end()
        node.destroy_node()
    tool = {('publisher', '/cmd_vel')}
    assert without_type_description(policy['tinychat_agent']) == without_type_description(found) - tool
    # Permissions are those of the whole enclave.
    whole = {name for names in policy.values() for name in names}
    assert all(any(kind == other and fnmatch(name, pattern) for other, pattern in whole)
               for kind, name in guarding - tool)


@pytest.mark.parametrize('has_files', [False, True])
def test_a_node_that_cannot_be_secure_does_not_start(tmp_path: Path, has_files: bool) -> None:
    """Without a keystore, and with keys that cannot be used. The wheels' Fast DDS cannot use any."""
    if has_files:
        enclave = tmp_path / 'enclaves' / 'tinychat' / 'node'
        enclave.mkdir(parents=True)
        for name in ENCLAVE_FILES:
            (enclave / name).write_text('not a key')
    environment = os.environ | {'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce',
                                'ROS_SECURITY_KEYSTORE': str(tmp_path)}
    command = [sys.executable, '-m', 'tinychat_ros.chat_node', '--ros-args', '--enclave', '/tinychat/node']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith('tinychat_ros: error: ')]
    assert done.returncode == 2 and len(errors) == 1, done.stderr
    assert has_files or 'SECURITY ERROR' in errors[0]
