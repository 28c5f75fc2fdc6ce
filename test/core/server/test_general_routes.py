# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The page, the health, the metrics and the description of the API."""

from __future__ import annotations

import re

from serving_http import Served

from tinychat_core.text.messages import ROLES


def test_a_browser_gets_the_page(served: Served) -> None:
    response = served.client.get('/', headers={'accept': 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8'})
    assert response.headers['content-type'].startswith('text/html') and '<title>TinyChat</title>' in response.text
    assert "default-src 'none'" in response.headers['content-security-policy']


def test_the_page_has_nothing_from_elsewhere(served: Served) -> None:
    page = served.client.get('/', headers={'accept': 'text/html'}).text
    assert not re.findall(r'(?:https?:)?//\w+\.\w+|\bimport\b|<script src|<link rel="stylesheet"', page)
    assert 'innerHTML' not in page  # an answer is text, whatever it says


def test_the_health(served: Served) -> None:
    assert served.client.get('/health').json() == {'status': 'ok'}


def test_metrics_are_prometheus_text(served: Served) -> None:
    served.chat()
    response = served.client.get('/metrics')
    assert response.headers['content-type'].startswith('text/plain; version=0.0.4')
    values = dict(line.split() for line in response.text.splitlines() if not line.startswith('#'))
    assert values['tinychat_answers_total'] == '1' and values['tinychat_requests_running'] == '0'
    assert int(values['tinychat_resident_bytes']) > 2**20
    assert all(f'# TYPE {name} ' in response.text for name in values)


def test_the_description_knows_the_bodies(served: Served) -> None:
    described = served.client.get('/openapi.json').json()
    content = described['paths']['/v1/chat/completions']['post']['requestBody']['content']
    assert content['application/json']['schema'] == {'$ref': '#/components/schemas/ChatCompletionRequest'}
    assert 'messages' in described['components']['schemas']['ChatCompletionRequest']['properties']
    assert served.client.get('/docs').status_code == 404  # FastAPI's page loads scripts from another host


def test_the_description_names_the_values_of_a_field(served: Served) -> None:
    schemas = served.client.get('/openapi.json').json()['components']['schemas']
    assert {*schemas['Message']['properties']['role']['enum']} == {*ROLES, 'developer'}
    for role in schemas['Message']['properties']['role']['enum']:
        response = served.chat(messages=[{'role': role, 'content': 'Hi'}])
        assert 'must be' not in response.text  # a result without a call is refused, but not for its role
    assert {*schemas['Part']['properties']['type']['enum']} == {'text', 'image_url'}
    assert {*schemas['ResponseFormat']['properties']['type']['enum']} == {'text', 'json_object', 'json_schema'}
