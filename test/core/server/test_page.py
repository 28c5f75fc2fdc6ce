# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The chat page in headless Chromium: an answer, thoughts and calls that are folded, the result of a call; on a phone.

It needs Chromium (apt install chromium). With TINYCHAT_SCREENSHOTS=DIRECTORY the picture of docs/http.md is written.
"""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import shutil
from typing import Any

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
