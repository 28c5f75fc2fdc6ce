# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Who may ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from serving_http import error, Served

from tinychat_core.errors import TinyChatError
from tinychat_core.server.access import is_loopback
from tinychat_core.server.opening import KEY_VARIABLE, open_server


@pytest.mark.parametrize('header', [{}, {'authorization': 'Bearer wrong'}, {'authorization': 'secret'},
                                    {'authorization': 'Basic secret'}, {'authorization': 'Bearer secret2'},
                                    {'authorization': b'Bearer \xff\xfe'}])
@pytest.mark.parametrize('path', ['/v1/models', '/metrics', '/api/tags', '/openapi.json', '/nothing'])
def test_a_key_is_needed(serve: Callable[..., Served], header: dict[str, str], path: str) -> None:
    response = serve(api_key='secret').client.get(path, headers=header)
    assert response.status_code == 401 and response.headers['www-authenticate'] == 'Bearer'


def test_with_the_key_all_is_served(serve: Callable[..., Served]) -> None:
    served = serve(api_key='secret')
    served.client.headers['authorization'] = 'Bearer secret'
    assert served.chat().status_code == 200
    # A robot's address, as others know it.
    assert served.client.get('/v1/models', headers={'host': 'robot.local:8000'}).status_code == 200


@pytest.mark.parametrize('path', ['/', '/health'])
def test_the_page_and_the_health_need_no_key(serve: Callable[..., Served], path: str) -> None:
    assert serve(api_key='secret').client.get(path).status_code == 200


def test_a_key_that_is_not_asked_for_is_accepted(served: Served) -> None:
    assert served.client.get('/v1/models', headers={'authorization': 'Bearer any'}).status_code == 200


@pytest.mark.parametrize('host', ['evil.example', 'evil.example:8000', '192.168.0.1', '', '[', 'localhost.evil'])
def test_without_a_key_another_host_name_is_refused(served: Served, host: str) -> None:
    response = served.client.get('/v1/models', headers={'host': host})
    assert response.status_code == 403 and error(response)['type'] == 'permission_error'


@pytest.mark.parametrize('host', ['localhost', 'localhost:9', '127.0.0.1', '127.1.2.3:9', '[::1]:9'])
def test_this_machine_has_several_names(served: Served, host: str) -> None:
    assert served.client.get('/v1/models', headers={'host': host}).status_code == 200


@pytest.mark.parametrize('origin', ['http://evil.example', 'null', 'http://127.0.0.1:1'])
def test_pages_of_others_are_refused(served: Served, origin: str) -> None:
    response = served.client.post('/v1/chat/completions', headers={'origin': origin}, json={})
    assert response.status_code == 403 and 'access-control-allow-origin' not in response.headers


def test_the_own_page_may_ask(served: Served) -> None:
    assert served.client.get('/v1/models', headers={'origin': served.url}).status_code == 200


def test_a_named_origin_may_ask(serve: Callable[..., Served]) -> None:
    served = serve(origins=['http://robot.local:3000'])
    origin = {'origin': 'http://robot.local:3000'}
    response = served.client.get('/v1/models', headers=origin)
    assert response.headers['access-control-allow-origin'] == origin['origin']
    asked = {**origin, 'access-control-request-method': 'POST',
             'access-control-request-headers': 'authorization,content-type'}
    assert served.client.options('/v1/chat/completions', headers=asked).status_code == 200
    assert served.client.get('/v1/models', headers={'origin': 'http://other'}).status_code == 403


def test_which_addresses_are_this_machine() -> None:
    assert all(map(is_loopback, ('127.0.0.1', '127.9.9.9', '::1', 'localhost')))
    assert not any(map(is_loopback, ('0.0.0.0', '::', '10.0.0.1', 'robot.local', '')))


def test_another_address_needs_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(TinyChatError, match=f'needs an API key.*{KEY_VARIABLE}'):
        open_server(0, '0.0.0.0')
    (tmp_path / 'key').write_text('secret\n')
    open_server(0, '0.0.0.0', str(tmp_path / 'key')).stop()
    monkeypatch.setenv(KEY_VARIABLE, 'secret')
    open_server(0, '0.0.0.0').stop()


@pytest.mark.parametrize('content', ['', '\n', 'two words', 'two\nlines', 'é', 'x' * 2000])
def test_a_key_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / 'key').write_text(content)
    with pytest.raises(TinyChatError, match='no usable API key'):
        open_server(0, api_key_file=str(tmp_path / 'key'))


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TinyChatError, match='is missing'):
        open_server(0, api_key_file=str(tmp_path / 'key'))


def test_an_address_that_is_taken_is_one_line(served: Served) -> None:
    port = int(served.url.rpartition(':')[2])
    with pytest.raises(TinyChatError, match=f'cannot listen on 127.0.0.1, port {port}: Address already in use'):
        open_server(port)


@pytest.mark.parametrize('host', ['no.such.host.invalid', '127.0.0.1.5'])
def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, 'secret')
    with pytest.raises(TinyChatError, match='cannot listen on'):
        open_server(0, host)
