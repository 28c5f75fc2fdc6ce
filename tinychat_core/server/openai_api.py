# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""OpenAI's API, as far as the core serves it; a known field that is not served is refused by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
import msgspec

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.sampling import MAX_SEED
from tinychat_core.server import body
from tinychat_core.server.answer import AnswerResponse
from tinychat_core.server.dialogue import dialogue
from tinychat_core.server.errors import ApiError, not_served, of_invalid
from tinychat_core.server.openai_forms import ChatForm, CompletionForm
from tinychat_core.server.openai_schema import (
    ChatCompletionRequest,
    CompletionRequest,
    MAX_CHOICES,
    ResponseFormat,
    Sampling,
)
from tinychat_core.server.served_model import ServedModel
from tinychat_core.server.unserved import refuse_unserved
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.text.tool_calls.tools import tool_use, ToolUse

# Field -> values that have no effect.
_UNSERVED: dict[str, Sequence[Any]] = {
    'functions': ([],), 'function_call': ('none', 'auto'), 'modalities': (['text'],), 'audio': (), 'echo': (False,),
    'suffix': ('',),
}
_CHAT = msgspec.json.Decoder(ChatCompletionRequest)
_COMPLETION = msgspec.json.Decoder(CompletionRequest)
_COMPLETION_TOKENS = 16  # OpenAI's default length of a completion


def openai_router(served: ServedModel) -> APIRouter:
    """Return the routes under /v1."""
    router = APIRouter(prefix='/v1')

    @router.get('/models')
    async def models() -> dict[str, Any]:
        """List the one served model."""
        return {'object': 'list', 'data': [_model(served)]}

    @router.get('/models/{model:path}')
    async def model(model: str) -> dict[str, Any]:
        """Describe the model."""
        served.check_name(model)
        return _model(served)

    @router.post('/chat/completions')
    async def chat_completions(request: Request) -> Response:
        """Answer a dialogue."""
        asked = await body.read(request, _CHAT)
        choices = await asyncio.to_thread(_chat_requests, served, asked)
        return AnswerResponse(served.service, choices, ChatForm(served.name, _wants_usage(asked)),
                              bool(asked.stream))

    @router.post('/completions')
    async def completions(request: Request) -> Response:
        """Continue a text, without the chat template."""
        asked = await body.read(request, _COMPLETION)
        choices = await asyncio.to_thread(_completion_requests, served, asked)
        return AnswerResponse(served.service, choices, CompletionForm(served.name, _wants_usage(asked)),
                              bool(asked.stream))

    return router


def _model(served: ServedModel) -> dict[str, Any]:
    return {'id': served.name, 'object': 'model', 'created': served.created, 'owned_by': 'tinychat',
            'max_model_len': served.service.engine.context_length}


def _wants_usage(asked: Sampling) -> bool:
    return bool(asked.stream_options and asked.stream_options.include_usage)


def _chat_requests(served: ServedModel, asked: ChatCompletionRequest) -> list[ChatRequest]:
    served.check_name(asked.model)
    refuse_unserved(asked, _UNSERVED)
    field = 'max_tokens' if asked.max_completion_tokens is None else 'max_completion_tokens'
    schema = _json_schema(asked.response_format)
    request = served.request([(field, 'max_new_tokens', getattr(asked, field)), *_sampling(served, asked),
                              ('response_format', 'json_schema', schema),
                              ('top_logprobs', 'top_logprobs', _top_logprobs(asked))],
                             'messages', messages=dialogue(asked.messages), tools=_tools(asked),
                             thinking=_thinking(asked))
    return _choices(request, asked.n)


def _completion_requests(served: ServedModel, asked: CompletionRequest) -> list[ChatRequest]:
    served.check_name(asked.model)
    refuse_unserved(asked, _UNSERVED)
    if asked.best_of not in (None, asked.n or 1):
        raise not_served('best_of', f'best_of: {asked.best_of} is not served, only the number of choices (n)')
    limit = _COMPLETION_TOKENS if asked.max_tokens is None else asked.max_tokens
    request = served.request([('max_tokens', 'max_new_tokens', limit), *_sampling(served, asked),
                              ('logprobs', 'top_logprobs', asked.logprobs)], 'prompt',
                             raw_prompt=_raw_prompt(asked.prompt))
    return _choices(request, asked.n)


def _choices(request: ChatRequest, count: int | None) -> list[ChatRequest]:
    """Return a request for each choice; if a seed is given, each of the others has the next one."""
    count = 1 if count is None else count
    if not 1 <= count <= MAX_CHOICES:
        raise ApiError(400, f'n: must be 1 .. {MAX_CHOICES}, not {shown(count)}', 'n', 'invalid_value')
    choices = [request]
    for i in range(1, count):
        params, seed = request.params, request.params.seed
        if seed is not None:
            params = replace(params, seed=(seed + i) % (MAX_SEED + 1))
        choices.append(replace(request, params=params, preempts=False))  # it must not end the first one
    return choices


def _tools(asked: ChatCompletionRequest) -> ToolUse:
    """Return the tools that the answer may call; ApiError with the place of the error."""
    choice = asked.tool_choice or ''
    if isinstance(choice, dict):
        function = choice.get('function')
        name = function.get('name') if isinstance(function, dict) else None
        if not isinstance(name, str) or name in ('', 'auto', 'none', 'required'):
            raise ApiError(400, 'tool_choice: must be auto, none, required, or {"type": "function", "function": '
                           '{"name": "…"}}', 'tool_choice', 'invalid_value')
        choice = name
    try:
        return tool_use(asked.tools or (), choice, asked.parallel_tool_calls is not False)
    except InvalidParameterError as error:
        raise of_invalid(error, 'tools') from None


def _top_logprobs(asked: ChatCompletionRequest) -> int | None:
    """Return how many alternatives each token comes with; None: the answer has no log probabilities."""
    if asked.logprobs:
        return asked.top_logprobs or 0
    if asked.top_logprobs:
        raise ApiError(400, 'top_logprobs: needs logprobs: true', 'top_logprobs', 'invalid_value')
    return None


def _thinking(asked: ChatCompletionRequest) -> bool | None:
    """Return whether the model thinks first; None: the default of its chat template."""
    if asked.chat_template_kwargs is not None:
        return asked.chat_template_kwargs.enable_thinking
    return False if asked.reasoning_effort == 'none' else None


def _sampling(served: ServedModel, asked: Sampling) -> Iterator[tuple[str, str, Any]]:
    for name in ('temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty', 'frequency_penalty',
                 'presence_penalty'):
        yield name, name, getattr(asked, name)
    yield 'seed', 'seed', _seed(asked.seed)
    yield 'logit_bias', 'logit_bias', _logit_bias(asked.logit_bias, served.service.engine.vocab_size)
    stop = asked.stop
    yield 'stop', 'stop', (stop,) if isinstance(stop, str) else stop


def _seed(asked: int | None) -> int | None:
    """Convert a seed of OpenAI's API (signed, 64 bits) to one of the core."""
    if asked is None or not -MAX_SEED - 1 <= asked < 0:
        return asked
    return asked + MAX_SEED + 1


def _logit_bias(asked: Mapping[str, float] | None, vocab_size: int) -> dict[int, float] | None:
    """Return the bias of each token. Raises ApiError for an id that is no token of the model."""
    if asked is None:
        return None
    for token in asked:
        if not (token.isascii() and token.isdigit() and len(token) < 10 and int(token) < vocab_size):
            raise ApiError(400, f'logit_bias: {shown(token)} is no token of the model, whose tokens are 0 .. '
                           f'{vocab_size - 1}', 'logit_bias', 'invalid_value')
    return {int(token): bias for token, bias in asked.items()}


def _json_schema(asked: ResponseFormat | None) -> str | None:
    """Return the schema that the answer must match, as text; None if there is none."""
    if asked is None or asked.type == 'text':
        return None
    if asked.type == 'json_object':
        return '{"type": "object"}'
    if asked.type != 'json_schema':
        raise ApiError(400, f'response_format.type: must be text, json_object or json_schema, not {shown(asked.type)}',
                       'response_format.type', 'invalid_value')
    if asked.json_schema is None:
        raise ApiError(400, 'response_format.json_schema: this field is required', 'response_format.json_schema',
                       'missing_required_parameter')
    return msgspec.json.encode(asked.json_schema.schema).decode()


def _raw_prompt(prompt: str | Sequence[Any]) -> str | Sequence[int]:
    """Return the one text to continue, or its tokens."""
    if not isinstance(prompt, str) and len(prompt) == 1 and not isinstance(prompt[0], int):
        prompt = prompt[0]
    if not prompt:
        raise ApiError(400, 'prompt: must not be empty', 'prompt', 'invalid_value')
    if isinstance(prompt, str) or all(isinstance(token, int) for token in prompt):
        return prompt
    raise not_served('prompt', 'prompt: one text is continued at a time; give one text, or a list of tokens')
