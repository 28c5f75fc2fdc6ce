# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Reads files from users: only regular ones, because a pipe or a device may never end or never start."""

from __future__ import annotations

from pathlib import Path

from tinychat_core.errors import TinyChatError

_POINTER = b'version https://git-lfs.github.com/spec/'
_LARGEST = 1 << 28  # bytes of a file that is read as a whole; tokenizers have about 30 MB


def check_regular(path: Path) -> None:
    """Raise TinyChatError, saying what it is, where a path is not a regular file."""
    if path.is_file():
        _check_pointer(path)
        return
    if path.is_dir():
        raise TinyChatError(f'{path} is a directory instead of a file')
    if path.exists():
        raise TinyChatError(f'{path} is a pipe or a device; only regular files are read')
    if path.is_symlink():
        raise TinyChatError(f'{path} is a link to {path.readlink()}, which does not exist')
    raise TinyChatError(f'{path} is missing; get the file again')


def _check_pointer(path: Path) -> None:
    """Raise TinyChatError where a file is a Git LFS pointer."""
    try:
        with open(path, 'rb') as file:
            begin = file.read(len(_POINTER))
    except OSError:
        return  # reading it reports the error
    if begin == _POINTER:
        raise TinyChatError(f'{path} is a Git LFS pointer, not the file itself; run `git lfs pull` in the clone')


def read_file(path: Path) -> bytes:
    """Return the content of a small file; TinyChatError where it is not a regular file, too large or unreadable."""
    check_regular(path)
    try:
        with open(path, 'rb') as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise TinyChatError(f'cannot read {path}: {error.strerror}') from None
    if len(content) > _LARGEST:
        raise TinyChatError(f'{path} has more than {_LARGEST >> 20} MiB, which is too much for such a file')
    return content
