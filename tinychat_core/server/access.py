# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Access control: a wrapper of the application that checks each request first.

Without an API key, only this machine can connect. But a browser on it also runs pages of other sites. So a request from
a page of another origin is refused, and so is a request for a foreign host name (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Sequence
import hmac
import ipaddress
import logging
from typing import Any
from urllib.parse import urlsplit

from tinychat_core.errors import one_line, shown
from tinychat_core.server.errors import ApiError

# The page asks for the key itself; a monitor needs no key to check the health.
_OPEN = ('/', '/health')

_LOG = logging.getLogger(__name__)


class Access:
    """An ASGI application that wraps another one: checks each request, and catches every exception."""

    def __init__(self, app: Any, api_key: str, origins: Sequence[str]) -> None:
        """Require this key ('': none), and allow pages of these origins."""
        self._app = app
        self._key = api_key.encode()
        self._origins = frozenset(origins)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope['type'] != 'http':
            return
        headers = {name: value.decode('latin-1') for name, value in scope['headers']}
        error = self._refusal(scope['path'], headers)
        if error is not None:
            await error.response(scope['path'])(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception as defect:  # the client has got a 500
            _LOG.error(one_line(f'{scope["method"]} {scope["path"]} has failed: {type(defect).__name__}'))
            _LOG.debug('a request has failed', exc_info=True)

    def _refusal(self, path: str, headers: dict[bytes, str]) -> ApiError | None:
        origin, host = headers.get(b'origin'), headers.get(b'host', '')
        if origin is not None and origin not in self._origins and urlsplit(origin).netloc != host:
            return ApiError(403, f'pages of the origin {shown(origin)} may not ask here')
        if not self._key:
            if is_loopback(_name(host)):
                return None
            return ApiError(403, f'the host {shown(host)} is not this machine; ask localhost, or use an API key')
        scheme, _, given = headers.get(b'authorization', '').partition(' ')
        if path in _OPEN or (scheme.lower() == 'bearer' and
                             hmac.compare_digest(given.strip().encode('latin-1'), self._key)):
            return None
        return ApiError(401, 'give the API key in the header Authorization: Bearer KEY', code='invalid_api_key')


def is_loopback(host: str) -> bool:
    """Return whether a host name or address always means this machine."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """Return the host of a Host header, without the port."""
    try:
        return urlsplit(f'//{host}').hostname or ''
    except ValueError:
        return ''
