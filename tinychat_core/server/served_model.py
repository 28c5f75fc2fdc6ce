# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The served model, and the defaults for fields that a request does not set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath
from time import time
from typing import Any

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.sampling import SamplingParams
from tinychat_core.server.errors import ApiError, of_invalid
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest


@dataclass(frozen=True)
class Defaults:
    """
    The values of fields that a request does not set.

    `time_limit`: from acceptance to the end [s], 0 for none; `publish_period`: text of this period is sent together
    [s]. A request cannot set these two.
    """

    params: SamplingParams
    system_prompt: str = ''
    time_limit: float = 0.0
    publish_period: float = 0.02


class ServedModel:
    """A service, and the name of its model for clients: that of its directory, without the rest of the path."""

    def __init__(self, service: ChatService, defaults: Callable[[], Defaults]) -> None:
        """Take the service; `defaults` is called for each request, from any thread."""
        self.service = service
        self.name = PurePath(str(service.engine.path)).name or 'tinychat'
        self.created = int(time())
        self._defaults = defaults

    def check_name(self, model: str | None) -> None:
        """Raise ApiError for the name of another model; '' and None mean this one."""
        if model and model.removesuffix(':latest') != self.name:
            raise ApiError(404, f'model: {shown(model)} is not served here; {shown(self.name)} is', 'model',
                           'model_not_found')

    @property
    def time_limit(self) -> float:
        """Of every request: from acceptance to the end [s], 0 for none."""
        return self._defaults().time_limit

    def request(self, given: Iterable[tuple[str, str, Any]], prompt_field: str, thinking: bool | None = None,
                **prompt: Any) -> ChatRequest:
        """
        Return a request of the core.

        `given`: (field of the API, field of SamplingParams, value); the value None means the default. `prompt`: the
        prompt as fields of ChatRequest; `prompt_field`: its field in the API, for errors. Raises ApiError.
        """
        defaults = self._defaults()
        params = defaults.params
        for field, name, value in given:
            if value is None:
                continue
            try:
                params = replace(params, **{name: value})
            except InvalidParameterError as error:
                reason = str(error).replace(name, field, 1)
                raise ApiError(400, reason if field in reason else f'{field}: {reason}', field,
                               'invalid_value') from None
        if thinking is False and self.service.engine.tokenizer.thought_marks is None:
            thinking = None  # such a model never thinks
        try:
            return ChatRequest(params=params, thinking=thinking, default_system_prompt=defaults.system_prompt,
                               time_limit=defaults.time_limit, publish_period=defaults.publish_period, **prompt)
        except InvalidParameterError as error:
            is_stop = str(error).startswith(('stop', 'a text of stop'))
            raise of_invalid(error, 'stop' if is_stop else prompt_field) from None
