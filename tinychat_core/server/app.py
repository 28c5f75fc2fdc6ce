# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The HTTP application: its routes, and the format of its errors."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from tinychat_core import __version__
from tinychat_core.server.access import Access
from tinychat_core.server.errors import ApiError
from tinychat_core.server.metrics import MEDIA_TYPE, metrics
from tinychat_core.server.ollama_api import ollama_router
from tinychat_core.server.openai_api import openai_router
from tinychat_core.server.openapi import describe_bodies
from tinychat_core.server.served_model import ServedModel
from tinychat_core.server.vectors_api import vectors_router

_PAGE = Path(__file__).parent / 'page' / 'index.html'
# The page is self-contained: it loads nothing from other hosts, and no other page can show it in a frame.
_POLICY = ("default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
           "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def create_app(served: ServedModel, api_key: str = '', origins: Sequence[str] = ()) -> Any:
    """Return the ASGI application; with `api_key` every request needs it, and `origins` are those of CORS."""
    # FastAPI's own pages about the API load scripts from other hosts.
    app = FastAPI(title='TinyChat', version=__version__, docs_url=None, redoc_url=None)
    app.include_router(openai_router(served))
    app.include_router(ollama_router(served))
    app.include_router(vectors_router(served))
    _add_general_routes(app, served)
    describe_bodies(app)
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_defect)
    guarded = Access(app, api_key, origins)
    if not origins:
        return guarded
    return CORSMiddleware(guarded, allow_origins=[*origins], allow_methods=['GET', 'POST'], allow_headers=['*'])


def _add_general_routes(app: FastAPI, served: ServedModel) -> None:
    page = _PAGE.read_text()

    @app.api_route('/', methods=['GET', 'HEAD'], include_in_schema=False)
    async def root(request: Request) -> Response:
        """Return the page to a browser; Ollama's clients expect this sentence."""
        if 'text/html' in request.headers.get('accept', ''):
            return HTMLResponse(page, headers={'content-security-policy': _POLICY, 'vary': 'accept'})
        return PlainTextResponse('Ollama is running', headers={'vary': 'accept'})

    @app.get('/health')
    async def health() -> Response:
        """Return whether requests are accepted."""
        is_open = served.service.is_open
        return JSONResponse({'status': 'ok' if is_open else 'inactive'}, 200 if is_open else 503)

    @app.get('/metrics')
    async def figures() -> Response:
        """Return the metrics for Prometheus."""
        return Response(metrics(served.service), media_type=MEDIA_TYPE)


async def _on_api_error(request: Request, error: Any) -> Response:
    response: Response = error.response(request.url.path)
    return response


async def _on_http_error(request: Request, error: Any) -> Response:
    phrase = HTTPStatus(error.status_code).phrase.lower()
    return await _on_api_error(request, ApiError(error.status_code, f'{request.method} {request.url.path}: {phrase}'))


async def _on_defect(request: Request, error: Any) -> Response:
    return await _on_api_error(request, ApiError(500, 'internal error; the log of the server says more'))
