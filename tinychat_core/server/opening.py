# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Opens the server: checks that its packages are installed, reads the API key, and requires one for other machines."""

from __future__ import annotations

from collections.abc import Sequence
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tinychat_core.errors import TinyChatError
from tinychat_core.regular_file import read_file

if TYPE_CHECKING:
    from tinychat_core.server.http_server import HttpServer

KEY_VARIABLE = 'TINYCHAT_API_KEY'
LOOPBACK = '127.0.0.1'
_LONGEST_KEY = 1024
_NEEDED = ('fastapi', 'starlette', 'uvicorn', 'h11')


def open_server(port: int, host: str = LOOPBACK, api_key_file: str = '', origins: Sequence[str] = ()) -> HttpServer:
    """
    Return a server that has bound its address; call its `start`.

    The API key is the content of the file, or without a file the environment variable TINYCHAT_API_KEY. Raises
    TinyChatError if FastAPI or uvicorn is missing, the key is not usable, another machine could connect without a key,
    or the address is not free.
    """
    try:
        from tinychat_core.server.access import is_loopback
        from tinychat_core.server.http_server import HttpServer
    except ModuleNotFoundError as error:
        missing = (error.name or '').partition('.')[0]
        if missing not in _NEEDED:
            raise
        raise TinyChatError(f'the HTTP server needs {missing}, which is not installed: pip install '
                            "'tinychat_ros[server]', or on Ubuntu apt install python3-fastapi python3-uvicorn"
                            ) from None
    key = _api_key(api_key_file)
    if not key and not is_loopback(host):
        raise TinyChatError(f'other machines can reach {host}, so it needs an API key: put one into a file and name '
                            f'it, or into the variable {KEY_VARIABLE}')
    return HttpServer(host, port, key, origins)


def _api_key(file: str) -> str:
    """Return the key without its line break; '' if there is none."""
    if file:
        key, source = read_file(Path(file)).decode('latin-1').strip(), f'the file {file}'
    else:
        key, source = os.environ.get(KEY_VARIABLE, '').strip(), f'the variable {KEY_VARIABLE}'
    is_usable = key.isascii() and key.isprintable() and ' ' not in key and len(key) <= _LONGEST_KEY
    if not is_usable or (file and not key):
        raise TinyChatError(f'{source} has no usable API key: write one line of 1 .. {_LONGEST_KEY} letters, digits '
                            'or marks')
    return key
