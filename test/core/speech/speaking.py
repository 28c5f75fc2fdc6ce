# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a text."""

from __future__ import annotations

from collections.abc import Iterable

from tinychat_core.speech.spoken_text import SpokenText


def spoken(pieces: Iterable[str]) -> list[str]:
    """Return the sentences of a text that comes in pieces; a str comes character by character."""
    text = SpokenText()
    return [sentence for piece in pieces for sentence in text.push(piece)] + text.finish()
