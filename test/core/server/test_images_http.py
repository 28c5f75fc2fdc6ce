# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Images over HTTP: data URLs reach the model, everything else is refused by its place."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image as Pillow
import pytest
from scripted_engine import ScriptedEngine
from serving_http import Served


def encoded(red: int) -> str:
    file = BytesIO()
    Pillow.fromarray(np.full((4, 4, 3), (red, 0, 0), np.uint8)).save(file, 'PNG')
    return base64.b64encode(file.getvalue()).decode()


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{'role': 'user', 'content': [*parts]}]


def shown(url: Any) -> dict[str, Any]:
    return {'type': 'image_url', 'image_url': url}


TEXT = {'type': 'text', 'text': 'what?'}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """Return an engine that sees, and notes the first pixel of each image in `seen`."""
    made: Any = ScriptedEngine(context_length=4000)
    made.images, made.seen = SimpleNamespace(), []

    def encode_images(images: Sequence[Any], cancel: Any = None) -> list[Any]:
        made.seen += [image.pixels[0, 0, 0] for image in images]
        return [SimpleNamespace(rows=np.zeros((1, 1))) for _ in images]

    made.encode_images = encode_images
    return made


def test_data_urls_are_seen_in_order(served: Served) -> None:
    urls = [f'data:image/png;base64,{encoded(red)}' for red in (1, 2)]
    response = served.chat(messages=user(shown({'url': urls[0], 'detail': 'low'}), TEXT, shown(urls[1])))
    assert response.status_code == 200, response.text
    assert served.engine.seen == [1, 2]


def test_ollamas_images_are_seen(served: Served) -> None:
    response = served.client.post('/api/chat', json={'stream': False, 'messages': [
        {'role': 'user', 'content': 'what?', 'images': [encoded(3)]}]})
    assert response.status_code == 200, response.text
    assert served.engine.seen == [3]


@pytest.mark.parametrize(('messages', 'field', 'reason'), [
    (user(TEXT, shown({'url': 'https://example.com/a.png'})), 'messages[0].content[1].image_url', 'not fetched'),
    (user(shown({'url': 'file:///etc/passwd'})), 'messages[0].content[0].image_url', 'not fetched'),
    (user(shown({'url': 'data:image/png;base64,%%'})), 'messages[0].content[0].image_url', 'not valid base64'),
    (user(shown(None)), 'messages[0].content[0].image_url', 'missing'),
    ([{'role': 'system', 'content': [TEXT, shown({'url': 'data:image/png;base64,AAAA'})]}], 'messages[0].content',
     "only a message of role 'user'"),
    (user({'type': 'input_audio'}), 'messages[0].content[0].type', 'only text and images'),
])
def test_what_is_no_image_is_refused_by_its_place(served: Served, messages: Any, field: str, reason: str) -> None:
    response = served.chat(messages=messages)
    assert response.status_code == 400
    error = response.json()['error']
    assert error['param'] == field and reason in error['message']


def test_a_damaged_image_is_refused_with_its_reason(served: Served) -> None:
    response = served.chat(messages=user(TEXT, shown({'url': 'data:image/png;base64,AAAA'})))
    assert response.status_code == 400
    assert 'messages[0].content[1].image_url is not a JPEG' in response.json()['error']['message']


def test_a_model_without_eyes_refuses_images(served: Served) -> None:
    served.engine.images = None
    response = served.chat(messages=user(TEXT, shown({'url': f'data:image/png;base64,{encoded(1)}'})))
    assert response.status_code == 400 and 'the model sees none' in response.json()['error']['message']
