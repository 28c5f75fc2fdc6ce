# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Adds the bodies of requests to the OpenAPI description: msgspec reads them, so FastAPI does not know them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
import msgspec

from tinychat_core.server.ollama_schema import (
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    OllamaShowRequest,
)
from tinychat_core.server.openai_schema import (
    ChatCompletionRequest,
    CompletionRequest,
    DecisionsRequest,
    EmbeddingsRequest,
)

_BODIES = {
    '/v1/chat/completions': ChatCompletionRequest,
    '/v1/completions': CompletionRequest,
    '/v1/decisions': DecisionsRequest,
    '/v1/embeddings': EmbeddingsRequest,
    '/api/chat': OllamaChatRequest,
    '/api/embed': OllamaEmbedRequest,
    '/api/embeddings': OllamaEmbeddingsRequest,
    '/api/generate': OllamaGenerateRequest,
    '/api/show': OllamaShowRequest,
}


def describe_bodies(app: FastAPI) -> None:
    """Add the body of each request to /openapi.json."""
    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            whole = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schemas, components = msgspec.json.schema_components(
                _BODIES.values(), ref_template='#/components/schemas/{name}')
            for path, schema in zip(_BODIES, schemas, strict=True):
                whole['paths'][path]['post']['requestBody'] = {
                    'required': True, 'content': {'application/json': {'schema': schema}}}
            whole.setdefault('components', {}).setdefault('schemas', {}).update(components)
            app.openapi_schema = whole
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign, unused-ignore]
