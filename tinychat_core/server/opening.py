# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Opens the server: checks that its packages are installed, reads the API key, and requires one for other machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinychat_core.api_key import read_api_key
from tinychat_core.errors import TinyChatError

if TYPE_CHECKING:
    from tinychat_core.server.http_server import HttpServer

KEY_VARIABLE = 'TINYCHAT_API_KEY'
LOOPBACK = '127.0.0.1'
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
    key = read_api_key(api_key_file, KEY_VARIABLE)
    if not key and not is_loopback(host):
        raise TinyChatError(f'other machines can reach {host}, so it needs an API key: put one into a file and name '
                            f'it, or into the variable {KEY_VARIABLE}')
    return HttpServer(host, port, key, origins)
