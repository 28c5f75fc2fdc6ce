# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Checks a model's tokenizer when it is imported, rather than when it is first served."""

from __future__ import annotations

from collections.abc import Mapping
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from tinychat_core.errors import TinyChatError
from tinychat_core.text.tokenizer import Tokenizer

_log = logging.getLogger(__name__)


def check_tokenizer(files: Mapping[str, bytes], source: str, vocab_size: int) -> None:
    """
    Raise TinyChatError, naming the source, where Tokenizer.open would refuse the files; warnings are logged.

    `vocab_size`: rows of the embedding; some models have more of them than tokens, damaged ones fewer.
    """
    with TemporaryDirectory() as directory:
        for name, content in files.items():
            (Path(directory) / name).write_bytes(content)
        try:
            tokenizer = Tokenizer.open(directory)
        except TinyChatError as error:
            raise type(error)(str(error).replace(directory, source)) from None
    if tokenizer.vocab_size > vocab_size:
        _log.warning('%s: its tokenizer has %d tokens, but its embedding has only %d: text with one of the other '
                     'tokens is refused', source, tokenizer.vocab_size, vocab_size)
