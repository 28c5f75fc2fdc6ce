# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The calibration text: plain text, or chats as JSON lines; and the sequences taken from it."""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from tinychat_core.errors import TinyChatError
from tinychat_core.text.tokenizer import Tokenizer

SEQUENCES, LENGTH = 64, 512
_HELDOUT = 8  # additional sequences, only for evaluation
_FEWEST = 2048  # tokens
_DEFAULT = Path(__file__).with_name('calibration.txt')


def sequences(tokenizer: Tokenizer, text: Path | None, context: int) -> tuple[list[list[int]], list[list[int]]]:
    """
    Return the calibration sequences, evenly spaced over the text, and held-out sequences between them.

    There are up to 64 of 512 tokens, and 8 held out. Without a `text` the package's own short text is used, and nothing
    is held out. `context` is the model's context length. Raises TinyChatError for a text that is too short or not
    UTF-8.
    """
    tokens = _tokens(tokenizer, text or _DEFAULT)
    length = min(LENGTH, context)
    if len(tokens) < _FEWEST:
        raise TinyChatError(f'{text} has {len(tokens)} tokens, but calibration needs {_FEWEST} or more, best '
                            f'{(SEQUENCES + _HELDOUT) * LENGTH}: give a longer text')
    count = min(SEQUENCES, len(tokens) // length)
    heldout = min(_HELDOUT, count // 8) if text is not None else 0
    count = min(SEQUENCES, len(tokens) // length - heldout)
    total = count + heldout
    starts = [(len(tokens) - length) * i // max(total - 1, 1) for i in range(total)]
    parts = [tokens[start:start + length] for start in starts]
    chosen = {(2 * i + 1) * total // (2 * heldout) for i in range(heldout)} if heldout else set()
    return ([part for i, part in enumerate(parts) if i not in chosen],
            [part for i, part in enumerate(parts) if i in chosen])


def _tokens(tokenizer: Tokenizer, path: Path) -> list[int]:
    try:
        text = path.read_text(encoding='utf-8')
    except OSError as error:
        raise TinyChatError(f'cannot read {path}: {error.strerror}') from None
    except UnicodeDecodeError:
        raise TinyChatError(f'{path} is not UTF-8 text') from None
    if path.suffix != '.jsonl':
        return tokenizer.encode(text)
    return [token for number, line in enumerate(text.splitlines(), start=1) if line.strip()
            for token in tokenizer.encode_chat(_messages(path, number, line), False)]


def _messages(path: Path, number: int, line: str) -> Sequence[dict[str, str]]:
    """Return the messages of a line: a list of them, or an object that has one."""
    try:
        content: Any = json.loads(line)
        messages = content['messages'] if isinstance(content, dict) else content
        return [{'role': str(message['role']), 'content': str(message['content'])} for message in messages]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TinyChatError(f'{path}, line {number}: give a chat as {{"messages": [{{"role": …, "content": …}}, …]}}'
                            ) from None
