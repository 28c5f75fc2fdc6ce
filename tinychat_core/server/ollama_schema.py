# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The bodies of Ollama's API, as its clients write them (https://docs.ollama.com/api)."""

from __future__ import annotations

from typing import Any

import msgspec


class OllamaFunction(msgspec.Struct):
    """The function that was called."""

    name: str
    arguments: dict[str, Any] = {}


class OllamaToolCall(msgspec.Struct):
    """A call in a message of the assistant."""

    function: OllamaFunction


class OllamaMessage(msgspec.Struct):
    """A message of a dialogue."""

    role: str
    content: str = ''
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[OllamaToolCall] | None = None
    tool_name: str | None = None


class Options(msgspec.Struct):
    """Sampling options; other options of llama.cpp change no answer."""

    num_predict: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    typical_p: float | None = None
    tfs_z: float | None = None
    mirostat: int | None = None


class OllamaRequest(msgspec.Struct, kw_only=True):
    """The common fields of both kinds of requests."""

    model: str = ''
    stream: bool | None = None
    format: str | dict[str, Any] | None = None
    options: Options | None = None
    think: bool | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class OllamaChatRequest(OllamaRequest, kw_only=True):
    """POST /api/chat."""

    messages: list[OllamaMessage] | None = None
    tools: list[Any] | None = None


class OllamaGenerateRequest(OllamaRequest, kw_only=True):
    """POST /api/generate."""

    prompt: str | None = None
    system: str | None = None
    raw: bool | None = None
    images: list[Any] | None = None
    suffix: str | None = None
    template: str | None = None
    context: list[int] | None = None


class OllamaShowRequest(msgspec.Struct):
    """POST /api/show; older clients send `name`."""

    model: str = ''
    name: str = ''


class OllamaEmbedRequest(msgspec.Struct):
    """POST /api/embed."""

    input: str | list[str] = ''
    model: str = ''
    truncate: bool | None = None
    dimensions: int | None = None


class OllamaEmbeddingsRequest(msgspec.Struct):
    """POST /api/embeddings."""

    prompt: str = ''
    model: str = ''
