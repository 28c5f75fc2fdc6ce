# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Decisions, and embeddings as OpenAI's and Ollama's clients ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
import msgspec

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.server import body
from tinychat_core.server.answer import AnswerResponse
from tinychat_core.server.dialogue import dialogue
from tinychat_core.server.errors import ApiError, of_invalid
from tinychat_core.server.ollama_schema import OllamaEmbeddingsRequest, OllamaEmbedRequest
from tinychat_core.server.openai_schema import DecisionsRequest, EmbeddingsRequest
from tinychat_core.server.plain_forms import DecisionForm, EmbeddingForm, OllamaEmbeddingsForm, OllamaEmbedForm
from tinychat_core.server.served_model import ServedModel
from tinychat_core.serving.requests import ChatRequest, DecisionRequest, EmbeddingRequest

_DECISIONS = msgspec.json.Decoder(DecisionsRequest)
_EMBEDDINGS = msgspec.json.Decoder(EmbeddingsRequest)
_EMBED = msgspec.json.Decoder(OllamaEmbedRequest)
_OLD_EMBEDDINGS = msgspec.json.Decoder(OllamaEmbeddingsRequest)
_NO_TOKENS = ('input: give texts, not token ids, which are usually those of another tokenizer (LangChain: '
              'OpenAIEmbeddings(check_embedding_ctx_length=False))')


def vectors_router(served: ServedModel) -> APIRouter:
    """Return the routes for decisions and embeddings."""
    router = APIRouter()

    @router.post('/v1/decisions')
    async def decisions(request: Request) -> Response:
        """Return the probability of each option."""
        asked = await body.read(request, _DECISIONS)
        decision = await asyncio.to_thread(_decision, served, asked)
        return AnswerResponse(served.service, [decision], DecisionForm(served.name, decision.options), False)

    @router.post('/v1/embeddings')
    async def embeddings(request: Request) -> Response:
        """Return a vector for each text."""
        asked = await body.read(request, _EMBEDDINGS)
        served.check_name(asked.model)
        if asked.encoding_format not in (None, 'float', 'base64'):
            raise ApiError(400, f'encoding_format: must be float or base64, not {shown(asked.encoding_format)}',
                           'encoding_format', 'invalid_value')
        _check_dimensions(served, asked.dimensions)
        form = EmbeddingForm(served.name, asked.encoding_format == 'base64')
        return AnswerResponse(served.service, [_embedding(served, asked.input)], form, False)

    @router.post('/api/embed')
    async def embed(request: Request) -> Response:
        """Return a vector for each text."""
        asked = await body.read(request, _EMBED)
        served.check_name(asked.model)
        _check_dimensions(served, asked.dimensions)
        if asked.input in ('', []):  # loads the model in Ollama
            return Response(msgspec.json.encode({'model': served.name, 'embeddings': []}),
                            media_type='application/json')
        embedding = _embedding(served, asked.input, truncates=asked.truncate is not False)
        return AnswerResponse(served.service, [embedding], OllamaEmbedForm(served.name), False)

    @router.post('/api/embeddings')
    async def old_embeddings(request: Request) -> Response:
        """Return the vector of one text, not normalized."""
        asked = await body.read(request, _OLD_EMBEDDINGS)
        served.check_name(asked.model)
        if not asked.prompt:
            return Response(b'{"embedding":[]}', media_type='application/json')
        embedding = _embedding(served, asked.prompt, 'prompt', truncates=True, normalize=False)
        return AnswerResponse(served.service, [embedding], OllamaEmbeddingsForm(served.name), False)

    return router


def _checked(make: Callable[[], Any], names: dict[str, str]) -> Any:
    """Return what `make` makes; ApiError with the field of the API for an InvalidParameterError."""
    try:
        return make()
    except InvalidParameterError as error:
        name, _, reason = str(error).partition(': ')
        field = name.partition('[')[0]
        if field not in names:
            raise of_invalid(error, names['']) from None
        place = name.replace(field, names[field], 1)
        raise ApiError(400, f'{place}: {reason}', place, 'invalid_value') from None


def _decision(served: ServedModel, asked: DecisionsRequest) -> DecisionRequest:
    served.check_name(asked.model)
    if (asked.messages is None) == (asked.question is None):
        raise ApiError(400, 'question: give either a question or messages', 'question', 'invalid_value')
    prompt = ({'prompt': asked.question} if asked.messages is None else {'messages': dialogue(asked.messages)})
    thinking = False if served.service.engine.tokenizer.switches_thinking else None
    question: ChatRequest = served.request((), 'question' if asked.messages is None else 'messages', thinking, **prompt)
    options = {} if asked.options is None else {'options': tuple(asked.options)}
    decision: DecisionRequest = _checked(
        lambda: DecisionRequest(question=question, normalize_length=bool(asked.normalize_length), **options),
        {'options': 'options', '': 'options'})
    return decision


def _embedding(served: ServedModel, texts: Any, field: str = 'input', **how: bool) -> EmbeddingRequest:
    if isinstance(texts, str):
        texts = [texts]
    if not all(isinstance(text, str) for text in texts):
        raise ApiError(400, _NO_TOKENS, field, 'invalid_value')
    embedding: EmbeddingRequest = _checked(
        lambda: EmbeddingRequest(texts=tuple(texts), time_limit=served.time_limit, **how), {'texts': field, '': field})
    return embedding


def _check_dimensions(served: ServedModel, dimensions: int | None) -> None:
    size = served.service.engine.hidden_size
    if dimensions not in (None, size):
        raise ApiError(400, f"dimensions: the model's vectors have {size}, and are not cut to {dimensions}",
                       'dimensions', 'invalid_value')
