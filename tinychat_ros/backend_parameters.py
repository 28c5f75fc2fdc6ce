# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of backends on other machines, remote.NAME.… for each name in `backends`, and what they configure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rclpy.node import Node

from tinychat_core.api_key import is_readable_by_others, read_api_key
from tinychat_core.errors import TinyChatError
from tinychat_core.remote.config import FleetConfig, RemoteConfig
from tinychat_core.serving.results import LOCAL
from tinychat_ros.parameters import declare, Declared, UNCONFIGURED

PREFIX = 'remote'

# Each is declared as remote.NAME.…
REMOTE_PARAMETERS = (
    Declared('url', '', 'Base URL of an OpenAI-compatible server, such as http://192.168.0.2:8000/v1.', UNCONFIGURED),
    Declared('model', '', 'Name of the model on the server.', UNCONFIGURED),
    Declared('api_key_file', '', 'File with the API key of the server; empty: the variable in api_key_env.',
             UNCONFIGURED),
    Declared('api_key_env', '', 'Environment variable with the API key of the server; empty: no key.', UNCONFIGURED),
    Declared('max_goals', 4, 'Maximum number of goals that the server answers at the same time.', UNCONFIGURED,
             low=1, high=1000),
    Declared('images', False,
             'true: the model on the server accepts images; false: the server gets no goals with images.',
             UNCONFIGURED),
    Declared('connect_timeout', 1.0,
             'Maximum time to connect; also the time without an acknowledgment after which the network counts as '
             'down [s].',
             UNCONFIGURED, low=0.01, high=3600.0),
    Declared('first_token_timeout', 5.0, 'Maximum time from the request to the first token [s].', UNCONFIGURED,
             low=0.01, high=3600.0),
    Declared('stall_timeout', 5.0, 'Maximum time between two tokens; after it, the stream counts as broken [s].',
             UNCONFIGURED, low=0.01, high=3600.0),
    Declared('probe_period', 5.0, 'Time without a reply of the server after which it is asked whether it works [s].',
             UNCONFIGURED, low=0.01, high=3600.0),
)


def declare_backends(node: Node, is_unconfigured: Callable[[], bool]) -> None:
    """Declare the parameters of each backend in `backends` that has none yet."""
    for name in _remote_names(node):
        table = [replace(declared, name=f'{PREFIX}.{name}.{declared.name}') for declared in REMOTE_PARAMETERS]
        if not node.has_parameter(table[0].name):
            declare(node, is_unconfigured, table)


def fleet_config(node: Node) -> FleetConfig | None:
    """
    Return what the parameters configure; None for the local model alone.

    Warns about a key that others could read. Raises TinyChatError, which names the parameter.
    """
    order = tuple(node.get_parameter('backends').value)
    if order == (LOCAL,):
        return None
    try:
        remotes = {name: _remote_config(node, name) for name in _remote_names(node)}
    except TinyChatError as error:
        raise TinyChatError(f'{PREFIX}.{error}') from None
    policy = {name: node.get_parameter(name).value for name in ('hedge_delay', 'offload_queue', 'continue_locally')}
    return FleetConfig(order=order, remotes=remotes, policy=node.get_parameter('backend_policy').value, **policy)


def _remote_config(node: Node, name: str) -> RemoteConfig:
    values: dict[str, Any] = {declared.name: node.get_parameter(f'{PREFIX}.{name}.{declared.name}').value
                              for declared in REMOTE_PARAMETERS}
    file, variable = values.pop('api_key_file'), values.pop('api_key_env')
    if file and variable:
        raise TinyChatError(f'{name}.api_key_file: give a file or a variable, not both')
    try:
        key = read_api_key(file, variable)
    except TinyChatError as error:
        raise TinyChatError(f'{name}.{"api_key_file" if file else "api_key_env"}: {error}') from None
    if variable and not key:
        raise TinyChatError(f'{name}.api_key_env: the variable {variable} is not set')
    config = RemoteConfig(name=name, api_key=key, **values)
    if file and is_readable_by_others(file):
        node.get_logger().warning(f'{PREFIX}.{name}.api_key_file: other users can read {file}; chmod 600 {file}')
    if config.sends_key_in_clear:
        node.get_logger().warning(f'{PREFIX}.{name}.url: the API key is sent unencrypted to {config.url}; use https')
    return config


def _remote_names(node: Node) -> list[str]:
    return [name for name in node.get_parameter('backends').value if name != LOCAL]
