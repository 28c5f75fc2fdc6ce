# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the body of a request, with limits on size and time, and decodes it to a typed structure."""

from __future__ import annotations

import asyncio
import re
from typing import TypeVar

from fastapi import Request
import msgspec
from starlette.requests import ClientDisconnect

from tinychat_core.server.errors import ApiError

MAX_BYTES = 2**23
DRAINED = 2**26  # bytes of a body that are read at most: a client sees the error only after it has sent its body
SECONDS = 30.0

Body = TypeVar('Body')
_PLACE = re.compile(r' - at `\$\.?(.*)`$')
_MISSING = re.compile(r'Object missing required field `(.*)`$')


async def read(request: Request, decoder: msgspec.json.Decoder[Body]) -> Body:
    """Return the decoded body; ApiError with the name of the field that is wrong."""
    try:
        body = await asyncio.wait_for(_collect(request), SECONDS)
    except asyncio.TimeoutError:
        raise ApiError(408, f'the body has not arrived within {SECONDS:g} s') from None
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f'the body is no valid JSON: {error}', code='invalid_json') from None


async def _collect(request: Request) -> bytes:
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= MAX_BYTES:
                chunks.append(chunk)
            elif size > DRAINED:
                break
            else:
                chunks.clear()
    except ClientDisconnect:
        raise ApiError(400, 'the client has gone') from None
    if size > MAX_BYTES:
        raise ApiError(413, f'the body is larger than the {MAX_BYTES} bytes that are read')
    return b''.join(chunks)


def _invalid_field(message: str) -> ApiError:
    """Return the error for a message of msgspec, which ends with the place in the body."""
    place = _PLACE.search(message)
    field = place[1] if place else ''
    message = _PLACE.sub('', message)
    missing = _MISSING.match(message)
    if missing:
        field = f'{field}.{missing[1]}'.lstrip('.')
        return ApiError(400, f'{field}: this field is required', field, 'missing_required_parameter')
    told = message[:1].lower() + message[1:].replace('`', '')
    return ApiError(400, f'{field}: {told}' if field else f'the body: {told}', field or None, 'invalid_type')
