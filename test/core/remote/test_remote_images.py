# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Images go to servers that are declared to see, as data URLs; all backends that are asked get the same frame."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from fleet import Fleet
import numpy as np
from PIL import Image as Pillow
import pytest
from scripted_engine import ScriptedEngine
from scripted_server import answers, ScriptedServer

from tinychat_core.engine import CancelFlag
from tinychat_core.errors import InvalidParameterError, NoImageError
from tinychat_core.serving.results import ErrorCode, LOCAL
from tinychat_core.vision.image import Image
from tinychat_core.vision.sources import EncodedImage, RawImage

Start = Callable[..., Fleet]
Serve = Callable[..., ScriptedServer]
SEES = {'images': True}


class Camera:
    """Gives another frame each time."""

    def __init__(self) -> None:
        self.frames = 0

    def load(self, cancel: CancelFlag) -> Image:
        self.frames += 1
        return Image(np.full((8, 8, 3), 10 * self.frames, np.uint8))


@pytest.fixture
def engine() -> ScriptedEngine:
    """Return an engine that sees, and notes the first number of each image in `seen`."""
    made: Any = ScriptedEngine(context_length=1000)
    made.images, made.seen = SimpleNamespace(), []

    def encode_images(images: Sequence[Any], cancel: Any = None) -> list[Any]:
        made.seen += [int(image.pixels[0, 0, 0]) for image in images]
        return [SimpleNamespace(rows=np.zeros((1, 1)), marker='<image>') for _ in images]

    made.encode_images = encode_images
    return made


def png(red: int) -> bytes:
    file = BytesIO()
    Pillow.fromarray(np.full((4, 4, 3), red, np.uint8)).save(file, 'PNG')
    return file.getvalue()


def sent(edge: ScriptedServer) -> list[list[tuple[str, int]]]:
    """Return the type and the first number of the images of each message of the last request."""
    found = []
    for message in edge.requests[-1]['messages']:
        parts = message['content'] if isinstance(message['content'], list) else []
        urls = [part['image_url']['url'] for part in parts if part['type'] == 'image_url']
        pairs = [url.split(';base64,') for url in urls]
        found.append([(head, int(Image.decode(base64.b64decode(data)).pixels[0, 0, 0])) for head, data in pairs])
    return found


def test_a_server_that_sees_gets_data_urls(fleet: Start, server: Serve) -> None:
    edge = server(answers())
    started = fleet('edge local', edge, remote=SEES)
    raw = RawImage(2, 1, 'rgb8', 6, False, bytes([90] * 6))
    result = started.ask('what?', images=[EncodedImage(png(7)), raw])
    assert result.served_by == 'edge', result.error_message
    assert sent(edge) == [[('data:image/png', 7), ('data:image/jpeg', 90)]]
    assert edge.requests[-1]['messages'][0]['content'][-1] == {'type': 'text', 'text': 'what?'}


def test_each_message_keeps_its_own(fleet: Start, server: Serve) -> None:
    edge = server(answers())
    result = fleet('edge', edge, remote=SEES).ask(messages=[
        {'role': 'user', 'content': 'a?', 'images': [EncodedImage(png(1))]}, {'role': 'assistant', 'content': 'yes'},
        {'role': 'user', 'content': 'b?', 'images': [EncodedImage(png(2)), EncodedImage(png(3))]}])
    assert result.served_by == 'edge', result.error_message
    assert [[red for _, red in images] for images in sent(edge)] == [[1], [], [2, 3]]


@pytest.mark.parametrize('options', [{}, {'remote': {'images': False}}])
def test_a_server_that_is_not_declared_to_see_gets_none(fleet: Start, server: Serve, engine: Any,
                                                        options: dict[str, Any]) -> None:
    edge = server(answers())
    started = fleet('edge local', edge, **options)
    assert started.ask(images=[EncodedImage(png(7))]).served_by == LOCAL
    assert engine.seen == [7] and not edge.requests
    assert started.ask().served_by == 'edge'


def test_the_images_of_a_conversation_stay_here(fleet: Start, server: Serve, engine: Any) -> None:
    edge = server(answers())
    started = fleet('edge local', edge, remote=SEES)
    assert started.ask(images=[EncodedImage(png(7))], conversation_id='a').served_by == LOCAL
    assert engine.seen == [7] and not edge.requests


def test_local_only_images_never_leave(fleet: Start, server: Serve, engine: Any) -> None:
    edge = server(answers())
    started = fleet('edge local', edge, remote=SEES)
    assert started.ask(images=[EncodedImage(png(7))], local_only=True).served_by == LOCAL
    assert engine.seen == [7] and not edge.requests


def test_whoever_is_asked_next_sees_the_same_frame(fleet: Start, server: Serve, engine: Any) -> None:
    camera = Camera()
    edge = server(lambda handler: handler.reply(500, 'broken'))
    result = fleet('edge local', edge, remote=SEES).ask(images=[camera])
    assert (result.served_by, engine.seen, camera.frames) == (LOCAL, [10], 1)
    assert [red for _, red in sent(edge)[0]] == [10]


@pytest.mark.parametrize(('error', 'code'), [
    (InvalidParameterError('images[0] is damaged'), ErrorCode.INVALID_GOAL),
    (NoImageError('/camera: no frame came'), ErrorCode.NO_IMAGE)])
def test_an_image_that_is_none_ends_its_goal_and_is_no_fault_of_the_server(
        fleet: Start, server: Serve, error: Exception, code: ErrorCode) -> None:
    class Broken:
        def load(self, cancel: CancelFlag) -> Image:
            raise error

    edge = server(answers())
    started = fleet('edge', edge, remote=SEES)
    result = started.ask(images=[Broken()])
    assert (result.error_code, result.error_message) == (code, str(error))
    assert not edge.requests and started.ask().served_by == 'edge'


def test_a_robot_without_eyes_has_those_of_the_server(fleet: Start, server: Serve, engine: Any) -> None:
    engine.images = None
    edge = server(answers())
    assert fleet('edge local', edge, remote=SEES).ask(images=[EncodedImage(png(7))]).served_by == 'edge'
