# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat serve`: a model behind OpenAI's HTTP API, without ROS."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from tinychat_core.commands.model_options import add_model_options, open_model, show_loading
from tinychat_core.errors import InvalidParameterError
from tinychat_core.sampling import SamplingParams
from tinychat_core.server.opening import KEY_VARIABLE, LOOPBACK, open_server

if TYPE_CHECKING:
    from tinychat_core.engine import Engine
    from tinychat_core.server.served_model import Defaults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = ("Serve a model over HTTP: OpenAI's API, Ollama's, and a page to chat at /. Ctrl-C or SIGTERM "
                          'ends it.')
    add_model_options(parser)
    parser.add_argument('--kv-caches', type=int, default=2, metavar='N',
                        help='KV caches, one for each dialogue that is kept in memory (default: %(default)s)')
    parser.add_argument('--parallel', type=int, default=0, metavar='N',
                        help='requests that are computed at the same time, 1 .. 32, each with a KV cache (default: as '
                             'many as fit into memory, up to 4)')
    server = parser.add_argument_group('server')
    server.add_argument('--port', type=int, default=8000, metavar='N', help='0: a free one (default: %(default)s)')
    server.add_argument('--host', default=LOOPBACK, metavar='ADDRESS',
                        help='address to listen on; any but a loopback address needs an API key (default: %(default)s)')
    server.add_argument('--api-key-file', default='', metavar='FILE',
                        help=f'clients must know the key in this file (default: the variable {KEY_VARIABLE}, if set)')
    server.add_argument('--cors-origin', action='append', default=[], metavar='ORIGIN',
                        help='allow web pages of this origin, such as http://robot.local:3000; may be given several '
                             'times (default: none)')
    server.add_argument('--queue-depth', type=int, default=8, metavar='N',
                        help='maximum number of waiting requests; further ones get 429 (default: %(default)s)')


def default_values(engine: Engine) -> Defaults:
    """Return the defaults of a request: the node's sampling parameters, and no limit but the context."""
    from tinychat_core.server.served_model import Defaults

    return Defaults(SamplingParams(max_new_tokens=engine.context_length, temperature=0.7, top_k=40, top_p=0.95))


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    if not 0 <= args.port <= 65535:
        raise InvalidParameterError(f'--port must be 0 .. 65535, not {args.port}')
    if args.queue_depth < 0:
        raise InvalidParameterError(f'--queue-depth must not be negative, not {args.queue_depth}')
    # Loading may take minutes, so errors in the address are reported first.
    server = open_server(args.port, args.host, args.api_key_file, args.cors_origin)

    from tinychat_core.end_signal import on_end_signal
    from tinychat_core.serving.chat_service import ChatService
    from tinychat_core.serving.request_queue import Admission

    engine = open_model(args, progress=show_loading, caches=args.kv_caches, parallel=args.parallel)
    service = ChatService(engine, args.kv_caches, lambda: Admission('queue', args.queue_depth))
    defaults = default_values(engine)
    ended = Event()
    on_end_signal(ended.set, 'tinychat serve: a running request')
    service.open()
    server.start(service, lambda: defaults)
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    print(f'{server.url}/v1 serves {Path(args.model).name}, and {server.url} is a page to chat; Ctrl-C ends it',
          flush=True)
    ended.wait()
    service.stop('the server was ended')
    server.stop()
    service.close()
    return 0
