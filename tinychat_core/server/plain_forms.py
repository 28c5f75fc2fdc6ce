# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Answers that are never streamed: decisions, and embeddings in the formats of OpenAI and Ollama."""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterable, Sequence
from time import time
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from tinychat_core.server.errors import ApiError
from tinychat_core.serving.results import ChatResult, DecisionResult, EmbeddingResult, TextDelta


class _PlainForm(ABC):
    """A Form without a stream."""

    media_type = 'application/json'
    keep_alive = b''

    def __init__(self, model: str) -> None:
        """Start an answer of this model."""
        self._model = model

    def begin(self, choice: int) -> Iterable[bytes]:
        """Return nothing."""
        return ()

    def delta(self, choice: int, delta: TextDelta) -> Iterable[bytes]:
        """Return nothing."""
        return ()

    def end(self, choice: int, result: ChatResult) -> Iterable[bytes]:
        """Return nothing."""
        return ()

    def close(self, results: Sequence[ChatResult]) -> Iterable[bytes]:
        """Return nothing."""
        return ()

    def error(self, error: ApiError) -> Iterable[bytes]:
        """Return nothing."""
        return ()

    def whole(self, results: Sequence[ChatResult]) -> dict[str, Any]:
        """Return the whole answer."""
        (result,) = results
        return self._body(result)

    @abstractmethod
    def _body(self, result: ChatResult) -> dict[str, Any]:
        """Return the whole answer."""


class DecisionForm(_PlainForm):
    """POST /v1/decisions."""

    def __init__(self, model: str, options: Sequence[str]) -> None:
        """Start an answer with these options."""
        super().__init__(model)
        self._options = options

    def _body(self, result: ChatResult) -> dict[str, Any]:
        """Return the options in the order of the request, with their probabilities."""
        assert isinstance(result, DecisionResult)
        numbers = zip(self._options, result.probabilities, result.scores, strict=True)
        return {'id': f'decision-{uuid4().hex}', 'object': 'decision', 'created': int(time()), 'model': self._model,
                'best': result.best, 'choice': self._options[result.best],
                'options': [{'index': i, 'option': option, 'probability': probability, 'score': score}
                            for i, (option, probability, score) in enumerate(numbers)],
                'entropy': result.entropy, 'usage': _usage(result)}


class EmbeddingForm(_PlainForm):
    """POST /v1/embeddings; `is_base64`: float32, little endian, as text."""

    def __init__(self, model: str, is_base64: bool) -> None:
        """Start an answer in this encoding."""
        super().__init__(model)
        self._is_base64 = is_base64

    def _body(self, result: ChatResult) -> dict[str, Any]:
        """Return a vector for each text."""
        data = [{'object': 'embedding', 'index': i, 'embedding': self._encoded(vector)}
                for i, vector in enumerate(vectors_of(result))]
        return {'object': 'list', 'data': data, 'model': self._model, 'usage': _usage(result)}

    def _encoded(self, vector: npt.NDArray[np.float32]) -> str | list[float]:
        return b64encode(vector.astype('<f4').tobytes()).decode() if self._is_base64 else vector.tolist()


class OllamaEmbedForm(_PlainForm):
    """POST /api/embed."""

    def _body(self, result: ChatResult) -> dict[str, Any]:
        """Return a vector for each text; durations in nanoseconds."""
        return {'model': self._model, 'embeddings': vectors_of(result).tolist(),
                'total_duration': round(result.queue_time * 1e9), 'load_duration': 0,
                'prompt_eval_count': result.prompt_tokens}


class OllamaEmbeddingsForm(_PlainForm):
    """POST /api/embeddings, the older one, for one text."""

    def _body(self, result: ChatResult) -> dict[str, Any]:
        """Return the vector."""
        return {'embedding': vectors_of(result)[0].tolist()}


def vectors_of(result: ChatResult) -> npt.NDArray[np.float32]:
    """Return the vectors of a result that has them."""
    assert isinstance(result, EmbeddingResult)
    return result.vectors


def _usage(result: ChatResult) -> dict[str, Any]:
    return {'prompt_tokens': result.prompt_tokens, 'completion_tokens': 0, 'total_tokens': result.prompt_tokens,
            'prompt_tokens_details': {'cached_tokens': result.reused_tokens}}
