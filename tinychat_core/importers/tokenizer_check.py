# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a model's tokenizer files make is looked at when the model is imported, not first when it is served."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tinychat_core.errors import TinyChatError
from tinychat_core.tokenizer import Tokenizer


def check_tokenizer(files: Mapping[str, bytes], source: str) -> None:
    """Raise TinyChatError, naming the source, where Tokenizer.open would refuse the files; warnings are logged."""
    with TemporaryDirectory() as directory:
        for name, content in files.items():
            (Path(directory) / name).write_bytes(content)
        try:
            Tokenizer.open(directory)
        except TinyChatError as error:
            raise type(error)(str(error).replace(directory, source)) from None
