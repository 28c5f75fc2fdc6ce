# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat chat`: talk with a model in the terminal, without ROS."""
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from queue import SimpleQueue
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from tinychat_core.commands.chat_tools import ask_for_results, print_calls, read_tools
from tinychat_core.commands.model_options import add_model_options, open_model, show_loading
from tinychat_core.commands.terminal import figures, prompts
from tinychat_core.errors import TinyChatError
from tinychat_core.sampling import SamplingParams

if TYPE_CHECKING:
    from tinychat_core.serving.chat_service import ChatService
    from tinychat_core.serving.requests import ChatRequest
    from tinychat_core.serving.results import ChatEvent, ChatResult
    from tinychat_core.vision.image import Image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = ('Talk to a model. Answers go to stdout as they arrive, statistics to stderr. Ctrl-C '
                          'stops an answer, a second Ctrl-C or Ctrl-D exits. From a pipe, every line is a turn. In a '
                          'terminal, pasted text is one turn, until Enter.')
    add_model_options(parser)
    parser.add_argument('--prompt', metavar='TEXT', help='answer this prompt and exit; - reads it from stdin')
    parser.add_argument('--image', action='append', default=[], metavar='FILE',
                        help='show this image (JPEG, PNG, WebP, BMP) before the first prompt; may be given several '
                             'times (needs Pillow)')
    parser.add_argument('--system', default='', metavar='TEXT',
                        help="system prompt (default: the model's own, if any)")
    parser.add_argument('--tools', default='', metavar='FILE',
                        help="functions that the model may call: a JSON array as in OpenAI's tools (needs llguidance). "
                             'Each call is printed, and the next line is its result; with --prompt, the calls end the '
                             'answer')
    sampling = parser.add_argument_group('sampling')
    default = SamplingParams()
    sampling.add_argument('--max-new-tokens', type=int, default=default.max_new_tokens, metavar='N',
                          help='maximum length of an answer (default: %(default)s)')
    sampling.add_argument('--temperature', type=float, default=default.temperature, metavar='T',
                          help='0: always the most likely token (default: %(default)s)')
    sampling.add_argument('--top-k', type=int, default=default.top_k, metavar='K',
                          help='sample only from the K most likely tokens; 0: off (default: %(default)s)')
    sampling.add_argument('--top-p', type=float, default=default.top_p, metavar='P',
                          help='sample only from the most likely tokens that together have probability P; 1: off '
                               '(default: %(default)s)')
    sampling.add_argument('--min-p', type=float, default=default.min_p, metavar='P',
                          help='sample only from tokens at least P times as likely as the most likely one; 0: off '
                               '(default: %(default)s)')
    sampling.add_argument('--repetition-penalty', type=float, default=default.repetition_penalty, metavar='R',
                          help='above 1: fewer repetitions; 1: off (default: %(default)s)')
    sampling.add_argument('--dry-multiplier', type=float, default=default.dry_multiplier, metavar='M',
                          help='strength of DRY, a penalty for repeated phrases; 0.8 is usual; 0: off '
                               '(default: %(default)s)')
    sampling.add_argument('--dry-base', type=float, default=default.dry_base, metavar='B',
                          help='growth of the DRY penalty with each repeated token (default: %(default)s)')
    sampling.add_argument('--dry-allowed-length', type=int, default=default.dry_allowed_length, metavar='N',
                          help='shorter repetitions have no DRY penalty (default: %(default)s)')
    sampling.add_argument('--dry-penalty-last-n', type=int, default=default.dry_penalty_last_n, metavar='N',
                          help='last tokens in which DRY looks for repetitions; -1: all (default: %(default)s)')
    sampling.add_argument('--seed', type=int, metavar='N',
                          help='the same seed gives the same answer (default: a random one)')
    sampling.add_argument('--stop', action='append', default=[], metavar='TEXT',
                          help='text that ends the answer; may be given several times')
    structure = sampling.add_mutually_exclusive_group()
    structure.add_argument('--json-schema', default='', metavar='TEXT',
                           help='every answer is JSON that matches this schema (needs llguidance)')
    structure.add_argument('--regex', default='', metavar='TEXT',
                           help='every answer matches this regular expression (needs llguidance)')


def run(args: argparse.Namespace) -> int:
    """Answer one prompt, or every turn from stdin."""
    given = {field.name: getattr(args, field.name) for field in fields(SamplingParams) if hasattr(args, field.name)}
    params = SamplingParams(**given)

    from tinychat_core.serving.chat_service import ChatService
    from tinychat_core.serving.requests import ChatRequest

    tools, images = read_tools(args.tools), _read_images(args.image)
    early = args.prompt is not None  # read the prompt while files are still being verified
    engine = open_model(args, progress=None if early else show_loading, early=early)
    service = ChatService(engine)
    service.open()
    dropped = 0
    try:
        for prompt in prompts(args.prompt):
            try:
                request = ChatRequest(prompt=prompt, images=images, default_system_prompt=args.system,
                                      conversation_id='terminal', params=params, tools=tools)
                images = []
                result = _answer(service, request)
                while result.tool_calls and args.prompt is None:
                    results = ask_for_results(result.tool_calls)
                    if results is None:
                        return 0
                    result = _answer(service, replace(request, prompt='', images=(), messages=results))
                if result.dropped_turns > dropped:
                    print(f'[the context is full: {result.dropped_turns - dropped} of the oldest turns were dropped]',
                          file=sys.stderr)
                    dropped = result.dropped_turns
            except TinyChatError as error:
                if args.prompt is not None or not sys.stdin.isatty():
                    raise
                print(error, file=sys.stderr)
    finally:
        service.close()
    return 0


def _read_images(paths: list[str]) -> list[Image]:
    if not paths:
        return []
    from tinychat_core.regular_file import read_file
    from tinychat_core.vision.image import Image

    return [Image.decode(read_file(Path(path)), path) for path in paths]


def _answer(service: ChatService, request: ChatRequest) -> ChatResult:
    """Print an answer while it is made, and a line of figures after it; TinyChatError where there is none."""
    from tinychat_core.serving.results import ErrorCode, Finished, TextDelta

    events: SimpleQueue[ChatEvent | None] = SimpleQueue()  # in the decoder the main thread would not hear a Ctrl-C
    handle = service.submit(request, events.put)
    with _interruptible(lambda: events.put(None)):
        while True:
            event = events.get()
            if event is None:
                handle.cancel()
                continue
            delta = event.delta if isinstance(event, Finished) else event
            if isinstance(delta, TextDelta) and delta.text:
                print(delta.text, end='', flush=True)
            if isinstance(event, Finished):
                break
    result = event.result
    if result.error_code not in (ErrorCode.NONE, ErrorCode.STRUCTURE_INCOMPLETE):
        raise TinyChatError(result.error_message)
    if result.text or not result.tool_calls:
        print(flush=True)
    print_calls(result.tool_calls)
    ending = 'cut off before it matched' if result.error_code else result.finish_reason.value
    print(figures(result.new_tokens, result.time_to_first_token, result.tokens_per_second, ending), file=sys.stderr)
    return result


@contextmanager
def _interruptible(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call `interrupt` at the first Ctrl-C, which may happen anywhere; only the second one ends the command."""
    count = 0

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise KeyboardInterrupt
        interrupt()

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
