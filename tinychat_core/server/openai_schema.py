# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The bodies of OpenAI's API, as its clients write them (https://platform.openai.com/docs/api-reference).

Other fields are ignored. A field here that is not served is refused by name, unless its value has no effect.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

MAX_CHOICES = 8  # of a request

# Values for the OpenAPI description. They are checked after the body has been read, where the error can say more.
Role = Annotated[str, msgspec.Meta(extra_json_schema={'enum': ['system', 'developer', 'user', 'assistant', 'tool']})]
PartType = Annotated[str, msgspec.Meta(extra_json_schema={'enum': ['text', 'image_url']})]
FormatType = Annotated[str, msgspec.Meta(extra_json_schema={'enum': ['text', 'json_object', 'json_schema']})]
Choices = Annotated[int, msgspec.Meta(extra_json_schema={'minimum': 1, 'maximum': MAX_CHOICES})]


class ImageUrl(msgspec.Struct):
    """An image; `detail` has no effect, because every model has one way to look at it."""

    url: str
    detail: str | None = None


class Part(msgspec.Struct):
    """A part of a message's content."""

    type: PartType
    text: str | None = None
    image_url: ImageUrl | str | None = None


class CalledFunction(msgspec.Struct):
    """The function that was called; `arguments` is JSON as text."""

    name: str
    arguments: str = '{}'


class MessageToolCall(msgspec.Struct):
    """A call in a message of the assistant."""

    function: CalledFunction
    id: str = ''


class Message(msgspec.Struct):
    """A message of a dialogue."""

    role: Role
    content: str | list[Part] | None = None
    reasoning_content: str | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = None
    function_call: Any = None


class StreamOptions(msgspec.Struct):
    """What a stream contains in addition to the answer."""

    include_usage: bool | None = None


class JsonSchema(msgspec.Struct):
    """The schema of an answer; `strict` has no effect, because every schema is enforced."""

    schema: dict[str, Any]
    name: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    """The format that the answer must match."""

    type: FormatType
    json_schema: JsonSchema | None = None


class TemplateVariables(msgspec.Struct):
    """The variables of the chat template that a request may set, as in other local servers."""

    enable_thinking: bool | None = None


class Sampling(msgspec.Struct, kw_only=True):
    """The common fields of completions; `top_k`, `min_p` and `repetition_penalty` as in other local servers."""

    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Choices | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None


class ChatCompletionRequest(Sampling, kw_only=True):
    """POST /v1/chat/completions."""

    messages: list[Message]
    max_completion_tokens: int | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: TemplateVariables | None = None
    functions: list[Any] | None = None
    function_call: str | dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: Any = None


class CompletionRequest(Sampling, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[str | int | list[int]]  # a text, its tokens, or a list of one of these
    logprobs: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None


class EmbeddingsRequest(msgspec.Struct):
    """POST /v1/embeddings; token ids are refused."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: str | None = None
    dimensions: int | None = None


class DecisionsRequest(msgspec.Struct):
    """POST /v1/decisions, which OpenAI does not have: a question or messages, and the options that may answer it."""

    question: str | None = None
    messages: list[Message] | None = None
    options: list[str] | None = None
    normalize_length: bool | None = None
    model: str | None = None
