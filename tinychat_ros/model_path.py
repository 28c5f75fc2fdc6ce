# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Where the model is: what the parameter `model` says, or the default one. Knows nothing of ROS."""

from __future__ import annotations

import os
from pathlib import Path

from tinychat_core.errors import TinyChatError

NAME = Path('models', 'smollm2-135m-instruct')


def model_path(parameter: str) -> str:
    """
    Return the directory that the parameter names, with ~ as the home directory; '': the default model.

    TinyChatError for a path with a variable that a shell or a launch file should have replaced, and where there is no
    default model.
    """
    if not parameter:
        return str(default_model())
    path = os.path.expanduser(parameter)
    if '$' in path and not os.path.isdir(path):
        raise TinyChatError(f'{path} is not a directory; the node replaces ~, but not $HOME (a shell does) or $(env '
                            'HOME) and $(find-pkg-share PACKAGE) (ros2 launch does)')
    return path


def default_model() -> Path:
    """
    Return the first default model that exists.

    Looked for in the source tree (where `make demo` leaves it), in ~/.local/share/tinychat and, as it may be anybody's,
    in the current directory last; TinyChatError, saying how to get one, where there is none.
    """
    source_tree = Path(__file__).resolve().parents[1]
    for root in (source_tree, Path.home() / '.local' / 'share' / 'tinychat', Path.cwd()):
        if (root / NAME / 'tinychat.json').is_file():
            return root / NAME
    raise TinyChatError(
        'no model: import one with `tinychat import FILE.gguf DIRECTORY` and pass it with `ros2 launch tinychat_ros '
        'chat.launch.py model:=DIRECTORY` or `ros2 run tinychat_ros chat_node --ros-args -p model:=DIRECTORY`; `make '
        'model` in the source tree downloads the default model')
