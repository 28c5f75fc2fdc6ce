# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The text that calibrates: plain, or chats as JSON lines; and the tokens of it that are read."""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from tinychat_core.errors import TinyChatError
from tinychat_core.text.tokenizer import Tokenizer

SEQUENCES, LENGTH = 64, 512
_JUDGED = 8  # further sequences, which only judge the result
_FEWEST = 2048  # tokens
_DEFAULT = Path(__file__).with_name('calibration.txt')


def sequences(tokenizer: Tokenizer, text: Path | None, context: int) -> tuple[list[list[int]], list[list[int]]]:
    """
    Return the sequences that calibrate, evenly spread over the text, and those between that judge the result.

    There are up to 64 of 512 tokens, and 8 more; without a `text` a short one that the package carries calibrates,
    and none judges. `context` is the model's. Raises TinyChatError for a text that is too short or no text.
    """
    tokens = _tokens(tokenizer, text or _DEFAULT)
    length = min(LENGTH, context)
    if len(tokens) < _FEWEST:
        raise TinyChatError(f'{text} has {len(tokens)} tokens, and calibration needs {_FEWEST} or more, best '
                            f'{(SEQUENCES + _JUDGED) * LENGTH}: give a longer text')
    count = min(SEQUENCES, len(tokens) // length)
    judged = min(_JUDGED, count // 8) if text is not None else 0
    count = min(SEQUENCES, len(tokens) // length - judged)
    total = count + judged
    starts = [(len(tokens) - length) * i // max(total - 1, 1) for i in range(total)]
    parts = [tokens[start:start + length] for start in starts]
    judges = {(2 * i + 1) * total // (2 * judged) for i in range(judged)} if judged else set()
    return ([part for i, part in enumerate(parts) if i not in judges],
            [part for i, part in enumerate(parts) if i in judges])


def _tokens(tokenizer: Tokenizer, path: Path) -> list[int]:
    try:
        text = path.read_text(encoding='utf-8')
    except OSError as error:
        raise TinyChatError(f'cannot read {path}: {error.strerror}') from None
    except UnicodeDecodeError:
        raise TinyChatError(f'{path} is no text in UTF-8') from None
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
