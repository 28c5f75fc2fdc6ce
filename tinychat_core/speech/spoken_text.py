# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Speakable sentences from an answer that arrives in pieces."""

from __future__ import annotations

from tinychat_core.speech.inline import Inline
from tinychat_core.speech.markdown import Markdown
from tinychat_core.speech.sentences import Sentences
from tinychat_core.speech.thoughts import Thoughts


class SpokenText:
    """
    Turns an answer into sentences for speech, independent of how it is split into pieces.

    Spoken: text, headings, items of lists, quotations, cells of tables (with commas between them), inline code, the
    texts of links, the host of a URL. Not spoken: thoughts and tool calls, code blocks, emoji, emoticons, footnote
    marks, the targets of links. Every stage processes one character at a time and buffers a bounded number of them, so
    the work is linear in the text.
    """

    def __init__(self) -> None:
        """Start an answer."""
        self._thoughts = Thoughts()
        self._sentences = Sentences()
        self._markdown = Markdown(Inline(self._sentences))

    def push(self, piece: str) -> list[str]:
        """Return the sentences that are complete with this piece."""
        for character in piece:
            said = self._thoughts.push(character)
            if self._thoughts.is_stray_end:
                self._markdown.forget()
            for sure in said:
                self._markdown.push(sure)
        return self._sentences.take()

    def finish(self) -> list[str]:
        """End the text; return the remaining sentences."""
        for character in self._thoughts.finish():
            self._markdown.push(character)
        self._markdown.finish()
        return self._sentences.take()
