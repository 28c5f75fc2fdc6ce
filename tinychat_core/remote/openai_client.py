# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A client of one OpenAI-compatible server: streaming chat completions, and a probe. Belongs to one event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from hashlib import blake2b
import json
import secrets
import socket
import ssl
from typing import Any

import httpx

from tinychat_core.errors import printable, shown
from tinychat_core.remote.config import RemoteConfig
from tinychat_core.remote.deadline import TimeIsOver, within
from tinychat_core.remote.openai_request import body_of
from tinychat_core.remote.openai_stream import AnswerReader, data_lines, error_text
from tinychat_core.remote.outcomes import Busy, Failed, Piece, Step, Unable
from tinychat_core.remote.schema_check import check_matches
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import FinishReason

_ERRORS = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError)
_MAX_ERROR = 1 << 16  # bytes of an error's body that are read
_MAX_MODELS = 1 << 20
_TAIL = 0.5  # [s] for the token counts, and the end that lets the connection be used again
_PAUSE = 1.0  # [s] after a 429 that does not say how long
# The server works, but not for this request; of these, the next request would be refused as well.
_CERTAIN = {401: 'refuses the API key', 403: 'forbids the request', 404: 'has no such model or address'}


class OpenAIClient:
    """Sends requests to a server. Closing an answer closes its connection, which cancels the request there."""

    def __init__(self, config: RemoteConfig) -> None:
        """Take the configuration; nothing is sent yet."""
        self._config = config
        self._salt = secrets.token_bytes(16)
        headers = {'accept-encoding': 'identity', 'user-agent': 'tinychat'}
        if config.api_key:
            headers['authorization'] = f'Bearer {config.api_key}'
        # The system's certificates. Proxies and ~/.netrc have no effect: what leaves a robot is in its configuration.
        certificates = ssl.create_default_context() if config.url.startswith('https:') else False  # http has none
        transport = httpx.AsyncHTTPTransport(
            verify=certificates, trust_env=False, socket_options=_socket_options(config),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=config.max_goals))
        self._client = httpx.AsyncClient(
            transport=transport, trust_env=False, headers=headers, follow_redirects=False,
            timeout=httpx.Timeout(None, connect=config.connect_timeout, write=config.stall_timeout))

    async def answer(self, request: ChatRequest, dialogue: Sequence[Mapping[str, Any]]) -> AsyncGenerator[Step, None]:
        """Yield the pieces of the answer, and its result; raises NotAnswered. The caller bounds the times."""
        body = body_of(request, dialogue, self._config.model, self._config.images)
        reader = AnswerReader(request, body['seed'])
        try:
            headers = {'content-type': 'application/json', **self._session(request)}
            # Escaped, so that any text can be sent, even half of a surrogate pair.
            async with self._client.stream('POST', f'{self._config.url}/chat/completions', headers=headers,
                                           content=json.dumps(body).encode()) as response:
                await _check(response)
                async with aclosing(data_lines(response.aiter_raw())) as lines:
                    while (data := await _next(lines, reader.is_complete)) is not None:
                        piece = reader.push(data)
                        if piece is not None:
                            await _check_calls(request, piece)
                            yield piece
        except _ERRORS as error:
            if not reader.is_complete:
                raise _failed(error) from None
        piece = reader.finish()
        if piece is not None:
            yield piece
        assert reader.result is not None
        if request.params.json_schema and reader.result.finish_reason is FinishReason.STOP:
            await check_matches(reader.result.text, request.params.json_schema, 'its answer')
        yield reader.result

    async def probe(self) -> None:
        """Ask whether the server is there, accepts the key and has the model; raises NotAnswered."""
        try:
            async with self._client.stream('GET', f'{self._config.url}/models') as response:
                if response.status_code in (404, 405, 501):
                    return  # it answers, but does not list its models
                await _check(response, 'application/json')
                content = await _read(response, _MAX_MODELS)
        except _ERRORS as error:
            raise _failed(error) from None
        names = _model_names(content)
        if names and self._config.model not in names:
            listed = ', '.join(shown(name) for name in names[:5])
            raise Failed(f'has no model {shown(self._config.model)}, but {listed}', is_certain=True)

    def _session(self, request: ChatRequest) -> dict[str, str]:
        """Return a header by which a router can find the replica that has read the conversation; it tells no name."""
        if not request.conversation_id:
            return {}
        name = blake2b(request.conversation_id.encode(), key=self._salt, digest_size=16)
        return {'x-session-id': name.hexdigest()}

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _socket_options(config: RemoteConfig) -> list[tuple[int, int, int]]:
    """Return options that end a connection soon after the network has gone, even if the server may think for long."""
    seconds = max(1, round(config.connect_timeout))
    return [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds), (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * config.connect_timeout))]


async def _check_calls(request: ChatRequest, piece: Piece) -> None:
    for call in piece.tool_calls:
        tool = next(tool for tool in request.tools.callable if tool.name == call.name)
        await check_matches(call.arguments, tool.parameters, f'its call of {call.name}')


async def _next(lines: AsyncGenerator[bytes, None], is_complete: bool) -> bytes | None:
    """Return the next line; None at the end of the stream. Waits only a moment for what follows a complete answer."""
    try:
        return await within(_TAIL if is_complete else None, anext(lines))
    except (StopAsyncIteration, TimeIsOver):
        return None


async def _check(response: httpx.Response, media_type: str = 'text/event-stream') -> None:
    """Raise NotAnswered unless a response is a success of this type."""
    status = response.status_code
    if status == 200:
        found = response.headers.get('content-type', '').partition(';')[0].strip().lower()
        if found != media_type:
            raise Failed(f'answers with {shown(found)} instead of {media_type}; is its URL right?')
        if response.headers.get('content-encoding', 'identity') != 'identity':
            raise Failed('compresses its answer, which was not asked for')
        return
    if 300 <= status < 400:
        raise Failed(f'redirects to {shown(response.headers.get("location", ""))}; configure that URL', is_certain=True)
    text = _error_text(await _read(response, _MAX_ERROR))
    if status == 429 or (status == 503 and 'retry-after' in response.headers):
        raise Busy(f'is busy ({status}): {text}', _retry_after(response))
    if status in _CERTAIN:
        raise Failed(f'{_CERTAIN[status]} ({status}): {text}', is_certain=True)
    if 400 <= status < 500 and status not in (408, 425):
        raise Unable(f'refuses the request ({status}): {text}')
    raise Failed(f'fails ({status}): {text}')


async def _read(response: httpx.Response, most: int) -> bytes:
    content = b''
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > most:
            return content[:most]
    return content


def _error_text(content: bytes) -> str:
    try:
        return error_text(json.loads(content))
    except (ValueError, RecursionError):
        return shown(content.decode('utf-8', 'replace').strip())


def _retry_after(response: httpx.Response) -> float:
    try:
        return float(response.headers.get('retry-after', _PAUSE))
    except ValueError:  # a date
        return _PAUSE


def _model_names(content: bytes) -> list[str]:
    try:
        models = json.loads(content)['data']
        return [str(model['id']) for model in models]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Failed('answers /models with something else than a list of models; is its URL right?') from None


def _failed(error: Exception) -> Failed:
    """Return a failure in plain words; one without a connection is certain to come again."""
    if isinstance(error, httpx.ConnectTimeout):
        return Failed('cannot be reached: no answer in time', is_certain=True)
    if isinstance(error, httpx.ConnectError):
        return Failed(f'cannot be reached: {printable(str(error)) or "no connection"}', is_certain=True)
    return Failed(f'has broken the connection: {printable(str(error)) or type(error).__name__}')
