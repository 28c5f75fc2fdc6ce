# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The application of `tinychat serve` as a Ray Serve deployment: each replica has the model, a queue and KV caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ray import serve

from tinychat_core.errors import TinyChatError


class Arguments(BaseModel, extra='forbid'):
    """
    The arguments of the application.

    `model`: directory of a split checkpoint, on every node. `threads`: CPU threads, and CPUs that Ray reserves, of each
    replica; `parallel`: requests that it answers together; `queue_depth`: requests that may wait in it; the others are
    options of `tinychat serve`.
    """

    model: str
    threads: int = 2
    precision: str = ''
    max_seq_len: int = 0
    parallel: int = 4
    kv_caches: int = 4
    queue_depth: int = 8
    api_key_file: str = ''


def build(given: dict[str, Any]) -> serve.Application:
    """Return the application; `serve run` and `serve deploy` call this with the fields of Arguments."""
    arguments = Arguments.model_validate(given)
    if not Path(arguments.model).is_dir():
        raise TinyChatError(f'model: {arguments.model} is no directory on this node')

    def application() -> Any:
        return _application(arguments)

    ingress = serve.ingress(application)()
    deployment = serve.deployment(
        ingress, name='TinyChat', ray_actor_options={'num_cpus': arguments.threads},
        # What does not fit in the queue of one replica goes to another, instead of getting 429.
        max_ongoing_requests=arguments.parallel + arguments.queue_depth)
    return deployment.bind()


def _application(arguments: Arguments) -> Any:
    """Load the model in a replica, and return the ASGI application."""
    from tinychat_core.api_key import read_api_key
    from tinychat_core.commands.serve import default_values
    from tinychat_core.engine import Engine
    from tinychat_core.server.app import create_app
    from tinychat_core.server.opening import KEY_VARIABLE
    from tinychat_core.server.served_model import ServedModel
    from tinychat_core.serving.chat_service import ChatService
    from tinychat_core.serving.request_queue import Admission

    engine = Engine.open(arguments.model, arguments.precision or None, 'auto', arguments.threads,
                         arguments.max_seq_len or None, caches=arguments.kv_caches, parallel=arguments.parallel)
    service = ChatService(engine, arguments.kv_caches, lambda: Admission('queue', arguments.queue_depth))
    service.open()
    defaults = default_values(engine)
    return create_app(ServedModel(service, lambda: defaults), read_api_key(arguments.api_key_file, KEY_VARIABLE))
