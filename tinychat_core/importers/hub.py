# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Models by their id on Hugging Face's hub: its own client keeps a copy, and needs no network once it has one."""

from __future__ import annotations

from pathlib import Path

from tinychat_core.errors import TinyChatError

_WANTED = ['*.json', '*.safetensors', '*.jinja']
# The same weights once more, in their makers' own format.
_NOT_WANTED = ['consolidated*', 'original/*', 'onnx/*']


def local_copy(model: str) -> Path:
    """
    Return the directory of a model's copy, made or completed where the hub can be reached.

    Raises TinyChatError where there is neither a copy nor the hub.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise TinyChatError(f'{model} is no file here, and ids of the hub need `pip install huggingface_hub`') from None
    try:
        return Path(snapshot_download(model, allow_patterns=_WANTED, ignore_patterns=_NOT_WANTED))
    except Exception as error:  # the client has many, of several packages
        reason = str(error).strip().split('\n')[0]
        raise TinyChatError(f'cannot get {model} from the hub: {reason}') from None
