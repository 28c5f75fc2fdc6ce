# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The model that is taken where none is named."""

from __future__ import annotations

from pathlib import Path

from tinychat_core.errors import TinyChatError

NAME = Path('models', 'smollm2-135m-instruct')


def default_model() -> Path:
    """
    Return the first default model that exists.

    Looked for in the current directory, in the source tree (where `make demo` leaves it) and in
    ~/.local/share/tinychat; TinyChatError, saying how to get one, where there is none.
    """
    source_tree = Path(__file__).resolve().parents[1]
    for root in (Path.cwd(), source_tree, Path.home() / '.local' / 'share' / 'tinychat'):
        if (root / NAME / 'tinychat.json').is_file():
            return root / NAME
    raise TinyChatError('no model: give one with model:=DIRECTORY, made by `tinychat import FILE.gguf '
                        'DIRECTORY`, or run `make model` in the source tree for the default one')
