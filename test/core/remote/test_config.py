# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Configurations that are impossible are refused by the name of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tinychat_core.errors import InvalidParameterError
from tinychat_core.remote.config import FleetConfig, RemoteConfig

GOOD = {'name': 'edge', 'url': 'http://host:8000/v1', 'model': 'small'}


@pytest.mark.parametrize(('url', 'base'), [
    ('http://host:8000/v1/', 'http://host:8000/v1'), ('http://host:8000', 'http://host:8000/v1'),
    ('https://[::1]/api/openai', 'https://[::1]/api/openai'), (' http://host ', 'http://host/v1')])
def test_the_base_of_a_url(url: str, base: str) -> None:
    assert RemoteConfig(**{**GOOD, 'url': url}).url == base


@pytest.mark.parametrize(('field', 'value'), [
    *[('url', url) for url in ('', 'host:8000', 'ftp://host', 'http://', 'http://host:99999/v1', 'http://h:0/v1',
                               'http://h/v1?key=1', 'http://h/v1#a', 'http://h\n/v1', 'http://[::1/v1', 'http://a b/')],
    ('model', ''), ('model', ' '), ('max_goals', 0), ('connect_timeout', 0.0), ('stall_timeout', float('nan')),
    ('first_token_timeout', float('inf')), ('probe_period', -1.0)])
def test_an_impossible_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidParameterError, match=f'^edge.{field}: '):
        RemoteConfig(**{**GOOD, field: value})


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        RemoteConfig(**{**GOOD, 'url': 'http://me:secret@host/v1'})
    assert 'secret' not in str(caught.value)


def test_a_key_is_not_shown() -> None:
    assert 'secret' not in repr(RemoteConfig(**GOOD, api_key='secret'))


@pytest.mark.parametrize(('url', 'clear'), [('http://host/v1', True), ('https://host/v1', False),
                                            ('http://127.0.0.1:1/v1', False), ('http://localhost/v1', False)])
def test_a_key_on_an_open_network(url: str, clear: bool) -> None:
    assert RemoteConfig(**{**GOOD, 'url': url}, api_key='k').sends_key_in_clear == clear


@pytest.mark.parametrize(('config', 'what'), [
    ({'order': ()}, 'backends'), ({'order': ('edge', 'edge')}, 'backends'), ({'order': ('other',)}, 'backends'),
    ({'order': ('a b',)}, 'backends'), ({'order': ('edge',), 'policy': 'offload'}, 'backend_policy'),
    ({'order': ('edge',), 'policy': 'fastest'}, 'backend_policy'), ({'order': ('edge',), 'hedge_delay': -1.0}, 'hedge'),
    ({'order': ('edge',), 'offload_queue': -1}, 'offload_queue')], ids=str)
def test_an_impossible_fleet_is_refused(config: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidParameterError, match=f'^{what}'):
        FleetConfig(remotes={'edge': RemoteConfig(**GOOD)}, **config)
