# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Ollama's API for the one loaded model; requests to load, pull or remove models are not served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from fastapi import APIRouter, Request, Response
import msgspec

from tinychat_core import __version__
from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.server import body
from tinychat_core.server.answer import AnswerResponse
from tinychat_core.server.dialogue import dialogue
from tinychat_core.server.errors import ApiError, of_invalid
from tinychat_core.server.ollama_forms import now, OllamaChatForm, OllamaForm, OllamaGenerateForm
from tinychat_core.server.ollama_schema import (
    OllamaChatRequest,
    OllamaGenerateRequest,
    OllamaMessage,
    OllamaRequest,
    OllamaShowRequest,
    Options,
)
from tinychat_core.server.openai_schema import CalledFunction, Message, MessageToolCall, Part
from tinychat_core.server.served_model import ServedModel
from tinychat_core.server.unserved import refuse_unserved
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.text.tool_calls.tools import tool_use, ToolUse

# Field -> values that have no effect.
_UNSERVED: dict[str, Sequence[Any]] = {
    'images': ([],), 'suffix': ('',), 'template': ('',), 'context': ([],),
}
_UNSERVED_OPTIONS: dict[str, Sequence[Any]] = {
    'typical_p': (1.0,), 'tfs_z': (1.0,), 'mirostat': (0,),
}
_CHAT = msgspec.json.Decoder(OllamaChatRequest)
_GENERATE = msgspec.json.Decoder(OllamaGenerateRequest)
_SHOW = msgspec.json.Decoder(OllamaShowRequest)


def ollama_router(served: ServedModel) -> APIRouter:
    """Return the routes under /api."""
    router = APIRouter(prefix='/api')

    @router.get('/version')
    async def version() -> dict[str, Any]:
        """Return the version."""
        return {'version': __version__}

    @router.get('/tags')
    async def tags() -> dict[str, Any]:
        """List the one served model."""
        loaded = datetime.fromtimestamp(served.created, timezone.utc).isoformat()
        return {'models': [{'name': served.name, 'model': served.name, 'modified_at': loaded,
                            'size': served.service.engine.weights_bytes, 'digest': '', 'details': _details(served)}]}

    @router.post('/show')
    async def show(request: Request) -> dict[str, Any]:
        """Describe the model."""
        asked = await body.read(request, _SHOW)
        served.check_name(asked.model or asked.name)
        engine = served.service.engine
        capabilities = ['completion', *['tools'] * engine.tokenizer.knows_tools,
                        *['thinking'] * engine.tokenizer.switches_thinking]
        return {'details': _details(served), 'capabilities': capabilities,
                'model_info': {'general.architecture': engine.family,
                               f'{engine.family}.context_length': engine.context_length}}

    @router.post('/chat')
    async def chat(request: Request) -> Response:
        """Answer a dialogue."""
        asked = await body.read(request, _CHAT)
        _check(served, asked)
        form = OllamaChatForm(served.name)
        if not asked.messages:
            return _loaded(form)
        return await _answer(served, asked, form, 'messages', lambda: {
            'messages': _dialogue(asked), 'tools': _tools(asked)})

    @router.post('/generate')
    async def generate(request: Request) -> Response:
        """Answer a prompt, or continue it without the chat template (raw)."""
        asked = await body.read(request, _GENERATE)
        _check(served, asked)
        form = OllamaGenerateForm(served.name)
        if not asked.prompt:
            return _loaded(form)
        prompt = {'raw_prompt': asked.prompt} if asked.raw else {'prompt': asked.prompt,
                                                                 'system_prompt': asked.system or ''}
        return await _answer(served, asked, form, 'prompt', lambda: prompt)

    return router


def _details(served: ServedModel) -> dict[str, Any]:
    engine = served.service.engine
    return {'parent_model': '', 'format': 'tinychat', 'family': engine.family, 'families': [engine.family],
            'parameter_size': '', 'quantization_level': engine.precision}


async def _answer(served: ServedModel, asked: OllamaRequest, form: OllamaForm, prompt_field: str,
                  prompt: Callable[[], dict[str, Any]]) -> Response:
    def request() -> ChatRequest:
        given = [*_sampling(asked.options or Options()), ('format', 'json_schema', _json_schema(asked.format)),
                 ('top_logprobs', 'top_logprobs', (asked.top_logprobs or 0) if asked.logprobs else None)]
        thinking = None if asked.think is None else bool(asked.think)
        return served.request(given, prompt_field, thinking=thinking, **prompt())

    chat_request = await asyncio.to_thread(request)
    return AnswerResponse(served.service, [chat_request], form, asked.stream is not False)


def _loaded(form: OllamaForm) -> Response:
    """Answer a request that only loads the model, which is already loaded."""
    loaded = {'model': form.model, 'created_at': now(), **form.content(''), 'done': True, 'done_reason': 'load'}
    return Response(msgspec.json.encode(loaded), media_type='application/json')


def _check(served: ServedModel, asked: OllamaRequest) -> None:
    """Raise ApiError for another model, and for a field that is not served."""
    served.check_name(asked.model)
    refuse_unserved(asked, _UNSERVED)
    refuse_unserved(asked.options, _UNSERVED_OPTIONS, 'options.')


def _dialogue(asked: OllamaChatRequest) -> Any:
    # Ollama's calls have no ids: a tool's message belongs to the first call of its name without a result.
    messages: list[Message] = []
    open_calls: list[MessageToolCall] = []
    for message in asked.messages or ():
        calls = [MessageToolCall(CalledFunction(call.function.name, _json(call.function.arguments)),
                                 f'{len(messages):05d}{i:04d}') for i, call in enumerate(message.tool_calls or ())]
        open_calls += calls
        answered = next((call for call in open_calls if message.role == 'tool' and
                         message.tool_name in (None, '', call.function.name)), None)
        if answered is not None:
            open_calls.remove(answered)
        messages.append(Message(message.role, _content(message), message.thinking, calls or None,
                                answered.id if answered else None))
    return dialogue(messages)


def _content(message: OllamaMessage) -> str | list[Part] | None:
    """Return the content as OpenAI's clients write it; Ollama's images are base64 without the head of a data URL."""
    if not message.images:
        return message.content
    images = [Part('image_url', image_url=f'data:image/any;base64,{image}') for image in message.images]
    return [*images, Part('text', message.content)]


def _tools(asked: OllamaChatRequest) -> ToolUse:
    try:
        return tool_use(asked.tools or ())
    except InvalidParameterError as error:
        raise of_invalid(error, 'tools') from None


def _sampling(options: Options) -> Iterator[tuple[str, str, Any]]:
    # -1 and -2: no limit; the answer ends by itself or with the context.
    limit = None if options.num_predict is not None and options.num_predict < 0 else options.num_predict
    yield 'options.num_predict', 'max_new_tokens', limit
    for name in ('temperature', 'top_k', 'top_p', 'min_p', 'frequency_penalty', 'presence_penalty'):
        yield f'options.{name}', name, getattr(options, name)
    yield 'options.repeat_penalty', 'repetition_penalty', options.repeat_penalty
    # A negative seed means a new one for each answer.
    yield 'options.seed', 'seed', None if options.seed is not None and options.seed < 0 else options.seed
    yield 'options.stop', 'stop', (options.stop,) if isinstance(options.stop, str) else options.stop


def _json_schema(asked: str | dict[str, Any] | None) -> str | None:
    """Return the schema that the answer must match, as text; None if there is none."""
    if not asked:
        return None
    if isinstance(asked, dict):
        return _json(asked)
    if asked != 'json':
        raise ApiError(400, f"format: must be 'json' or a JSON schema, not {shown(asked)}", 'format', 'invalid_value')
    return '{"type": "object"}'


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
