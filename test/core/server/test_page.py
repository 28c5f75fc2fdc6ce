# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The chat page in headless Chromium: an answer, thoughts and calls, the result of a call, a picture; on a phone.

It needs Chromium (apt install chromium). With TINYCHAT_SCREENSHOTS=DIRECTORY the pictures of docs/http.md and
docs/vision.md are written. The answers are scripted: the pictures show the page, not a model.
"""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image as Pillow, ImageDraw
from playwright import sync_api as playwright
import pytest
from scripted_engine import EOS, ScriptedEngine
from serving_http import Served
from test_tool_calls import CALL, Calling, TOOLS

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
pytestmark = [pytest.mark.large, pytest.mark.skipif(CHROMIUM is None, reason='there is no Chromium')]
PHONE = {'width': 390, 'height': 760}


@pytest.fixture
def page(served: Served) -> Iterator[Any]:
    """Return a page of a phone's size; anything that it fetches from another host fails the test."""
    foreign: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        page = browser.new_page(viewport=PHONE)
        page.on('request', lambda request: foreign.append(request.url) if served.url not in request.url else None)
        page.set_default_timeout(60_000)
        page.goto(served.url)
        yield page
        browser.close()
    assert [url for url in foreign if not url.startswith('data:')] == []


def picture(page: Any, name: str) -> None:
    directory = os.environ.get('TINYCHAT_SCREENSHOTS')
    if directory:
        page.screenshot(path=Path(directory) / name)


def ask(page: Any, text: str) -> None:
    page.get_by_label('Message').fill(text)
    page.keyboard.press('Enter')


def test_a_question_is_answered_with_figures(page: Any) -> None:
    ask(page, 'What do robots need?')
    page.get_by_text('Robots need maps.').wait_for()
    page.get_by_text('tokens/s').wait_for()
    page.get_by_text('0 running, 0 waiting').wait_for()
    assert 'MiB' in page.locator('#status').inner_text()
    assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')


def test_thoughts_and_calls_are_folded_and_a_result_goes_on(page: Any, engine: ScriptedEngine) -> None:
    engine.script = [*f'<think>I must go there.</think>On my way.\n{CALL}'.encode(), EOS, *b'I am there.', EOS]
    engine.vocab_size = 257
    engine.tokenizer = Calling()
    page.get_by_text('Settings').click()
    page.get_by_label('Tools').fill(TOOLS)
    page.get_by_text('Settings').click()
    ask(page, 'Go to 1.')
    call = page.locator('details.call')
    call.wait_for()
    assert not call.evaluate('element => element.open')
    assert not page.locator('details.thoughts').evaluate('element => element.open')
    assert page.locator('details.thoughts span').text_content() == 'I must go there.'
    assert page.locator('details.call code').text_content() == '{"x": 1}'
    ask(page, 'And now?')  # the result comes first
    assert page.get_by_label('Message').input_value() == 'And now?'
    picture(page, 'page.png')
    page.get_by_label('Result of go').fill('Done.')
    page.keyboard.press('Enter')
    page.get_by_text('I am there.').wait_for()
    assert engine.dialogues[-1][-1]['content'] == 'Done.'


def door(directory: Path) -> Path:
    """Write a picture of 640 x 400 pixels: a room with a door that is half open."""
    image = Pillow.new('RGB', (640, 400), (214, 208, 196))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 320, 640, 400), fill=(150, 120, 90))
    draw.rectangle((250, 70, 390, 322), fill=(60, 70, 90), outline=(110, 80, 50), width=8)
    draw.polygon([(254, 74), (326, 96), (326, 346), (254, 318)], fill=(140, 98, 58))
    draw.ellipse((306, 206, 318, 218), fill=(230, 200, 90))
    image.save(directory / 'door.png')
    return directory / 'door.png'


def test_a_question_about_a_picture_shows_both(page: Any, engine: ScriptedEngine, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def encode_images(images: Any, cancel: Any = None) -> list[Any]:
        seen.extend(image.pixels.shape for image in images)
        return [SimpleNamespace(rows=np.zeros((1, 1))) for _ in images]

    made: Any = engine
    made.images, made.encode_images = SimpleNamespace(), encode_images
    engine.words = ['Yes, ', 'it is ', 'half open.']
    page.locator('#file').set_input_files(door(tmp_path))
    page.locator('#pictures img').wait_for()
    ask(page, 'Is the door open?')
    page.get_by_text('Yes, it is half open.').wait_for()
    page.get_by_text('tokens/s').wait_for()
    shown = page.locator('article.user img')
    assert shown.count() == 1 and shown.evaluate('image => [image.naturalWidth, image.naturalHeight]') == [640, 400]
    assert page.locator('#pictures img').count() == 0
    assert seen == [(400, 640, 3)]
    page.evaluate('scrollTo(0, 0)')
    picture(page, 'page-image.png')
