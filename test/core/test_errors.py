# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a message repeats of somebody else's text is short, and stays on its line."""
from __future__ import annotations

import pytest

from tinychat_core.errors import MOST_QUOTED, MOST_TOLD, printable, shown, TinyChatError

FORGED = 'x\n[ERROR] [tinychat]: the robot is on fire\r\x1b[2J\x07\u2028\u202e'


def test_no_text_makes_a_line_of_its_own() -> None:
    for text in (printable(FORGED), shown(FORGED), str(TinyChatError(FORGED))):
        assert text.isprintable()
        assert '\\n[ERROR]' in text and '\\x1b[2J' in text


@pytest.mark.parametrize('value', ['x' * 10**6, '\n' * 10**6, ['x' * 1000] * 1000, 10**5000, b'\xff' * 10**6],
                         ids=range(5))
def test_a_quotation_is_short(value: object) -> None:
    assert len(shown(value)) <= MOST_QUOTED + 3


def test_a_message_is_short() -> None:
    assert len(str(TinyChatError('x' * 10**6))) == MOST_TOLD + 1
    assert len(str(TinyChatError('\0' * 10**6))) == MOST_TOLD + 1


def test_letters_of_every_script_are_printable() -> None:
    assert shown('Grüße, 世界 🤖') == "'Grüße, 世界 🤖'"
