# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The errors of the HTTP API: OpenAI's or Ollama's error object, with its HTTP status."""

from __future__ import annotations

import re
from typing import Any

from fastapi.responses import JSONResponse

from tinychat_core.errors import InvalidParameterError
from tinychat_core.serving.requests import Refusal, RefusalReason
from tinychat_core.serving.results import ChatResult, ErrorCode

RETRY_AFTER = 1  # [s], for a request that may be accepted later

_PLACE = re.compile(r'((?:messages\[|tools|tool_choice)[^ :]*): ')
_TYPES = {401: 'authentication_error', 403: 'permission_error', 404: 'not_found_error', 429: 'rate_limit_error'}
# error code of a result -> (status, code); STRUCTURE_INCOMPLETE is an answer that the length cut off
_RESULTS = {
    ErrorCode.INVALID_GOAL: (400, 'invalid_value'),
    ErrorCode.PROMPT_TOO_LONG: (400, 'context_length_exceeded'),
    ErrorCode.PREEMPTED: (503, 'preempted'),
    ErrorCode.TIME_LIMIT: (504, 'time_limit'),
    ErrorCode.DEACTIVATED: (503, 'inactive'),
    ErrorCode.OUT_OF_MEMORY: (503, 'out_of_memory'),
    ErrorCode.REMOTE_FAILED: (502, 'remote_failed'),
}


class ApiError(Exception):
    """An error with its HTTP status. `param`: the field that is wrong, or None."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        """Take the status and the fields of the error object."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the status."""
        headers = {'retry-after': str(RETRY_AFTER)} if self.status in (429, 503) else {}
        if self.status == 401:
            headers['www-authenticate'] = 'Bearer'
        if self.status in (408, 413):  # the rest of the body is not read
            headers['connection'] = 'close'
        return headers

    def openai(self) -> dict[str, Any]:
        """Return OpenAI's error object."""
        kind = _TYPES.get(self.status, 'invalid_request_error' if self.status < 500 else 'server_error')
        return {'error': {'message': self.message, 'type': kind, 'param': self.param, 'code': self.code}}

    def ollama(self) -> dict[str, Any]:
        """Return Ollama's error object."""
        return {'error': self.message}

    def response(self, path: str) -> JSONResponse:
        """Return the answer to a request of this path, in the form of its API."""
        return JSONResponse(self.ollama() if path.startswith('/api/') else self.openai(), self.status, self.headers)


def not_served(param: str, message: str) -> ApiError:
    """Return the error for a field that is known but not served."""
    return ApiError(400, message, param, 'unsupported_parameter')


def of_invalid(error: InvalidParameterError, field: str) -> ApiError:
    """Return the error for a value that the core refuses; `field`: the place, if the message does not name it."""
    message = str(error)
    place = _PLACE.match(message)
    return ApiError(400, message if place else f'{field}: {message}', place[1] if place else field, 'invalid_value')


def of_refusal(refusal: Refusal) -> ApiError:
    """Return the error for a request that is not accepted."""
    if refusal.reason is RefusalReason.INACTIVE:
        return ApiError(503, str(refusal), code='inactive')
    return ApiError(429, str(refusal), code=refusal.reason.value.replace(' ', '_'))


def of_result(result: ChatResult) -> ApiError | None:
    """Return the error that a request ended with; None for an answer, even if it was cut off."""
    if result.error_code in (ErrorCode.NONE, ErrorCode.STRUCTURE_INCOMPLETE):
        return None
    status, code = _RESULTS.get(result.error_code, (500, result.error_code.name.lower()))
    return ApiError(status, result.error_message, code=code)
