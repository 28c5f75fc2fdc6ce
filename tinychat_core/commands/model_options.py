# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The options of the commands that load a model to answer with it."""

from __future__ import annotations

import argparse
import sys
from typing import Any, TYPE_CHECKING

from tinychat_core.loading.memory_plan import KV_CACHES
from tinychat_core.loading.verification import VERIFY
from tinychat_core.sizes import parse_size

if TYPE_CHECKING:
    from tinychat_core.engine import Engine


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Declare the model and how to load it."""
    parser.add_argument('model', help='directory of a split checkpoint')
    parser.add_argument('--precision',
                        help="W4, W4A16, W4A8, … (default: the backend's default for the stored weights)")
    parser.add_argument('--backend', default='auto', help='auto, cpu or cuda (default: auto)')
    parser.add_argument('--threads', type=int, metavar='N',
                        help='CPU threads (default: one for each physical core that the process may use)')
    parser.add_argument('--max-seq-len', type=int, metavar='N',
                        help="context length (default: the model's, or what fits)")
    parser.add_argument('--kv-cache', choices=KV_CACHES, default='auto', help='int8: half the memory of 16 bits')
    parser.add_argument('--speculation', choices=('auto', 'off'), default='auto',
                        help='auto: guess tokens if that is faster; the answers do not change (default: %(default)s)')
    parser.add_argument('--draft-model', metavar='DIRECTORY',
                        help='a smaller checkpoint with the same tokenizer, which guesses tokens (default: none)')
    parser.add_argument('--memory', metavar='SIZE',
                        help='memory limit of the model, e.g. 8GiB (default: what is available now, without swap)')
    parser.add_argument('--verify', choices=VERIFY, default='full',
                        help='size: check only file sizes, not checksums (default: %(default)s)')
    parser.add_argument('--lock', action='store_true', help='lock the weights in memory (mlock)')


def open_model(args: argparse.Namespace, **options: Any) -> Engine:
    """Return the engine; `options` are further ones of Engine.open."""
    from tinychat_core.engine import Engine

    return Engine.open(args.model, args.precision, args.backend, args.threads, args.max_seq_len,
                       kv_cache=args.kv_cache, speculation=args.speculation, draft_model=args.draft_model,
                       memory=parse_size(args.memory, '--memory') if args.memory else None,
                       verify=args.verify, lock=args.lock, **options)


def show_loading(fraction: float) -> None:
    """Tell a person at the terminal how much of the model is loaded."""
    if sys.stderr.isatty():
        end = '' if fraction < 1 else '\r\033[K'
        print(f'\rloading {fraction:4.0%}', end=end, file=sys.stderr, flush=True)
