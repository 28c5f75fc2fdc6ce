# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat eval`: perplexity of a model on a text, with the native runtime."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinychat_core.errors import InvalidParameterError, TinyChatError
from tinychat_core.loading.memory_plan import KV_CACHES
from tinychat_core.sizes import parse_size

if TYPE_CHECKING:
    from tinychat_core.engine import Engine
    from tinychat_core.progress import ProgressBar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('model', help='directory of a split checkpoint')
    parser.add_argument('--text', required=True, metavar='FILE', help='plain text file in UTF-8')
    parser.add_argument('--window', type=int, default=2048, metavar='N', help='tokens per window (default: 2048)')
    parser.add_argument('--max-windows', type=int, metavar='N', help='stop after N windows (default: all)')
    parser.add_argument('--compare', metavar='REFERENCE', help='compare with this Hugging Face directory in float32 '
                                                               '(needs torch and transformers)')
    parser.add_argument('--precision',
                        help="W4, W4A16, W4A8, … (default: the backend's default for the stored weights)")
    parser.add_argument('--backend', default='auto', help='auto, cpu or cuda (default: auto)')
    parser.add_argument('--kv-cache', choices=KV_CACHES, default='auto', help='int8: half the memory of 16 bits')
    parser.add_argument('--memory', metavar='SIZE',
                        help='memory limit of the model, e.g. 8GiB (default: what is available now, without swap)')
    parser.add_argument('--threads', type=int, metavar='N')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def run(args: argparse.Namespace) -> int:
    """Print exp of the mean negative log-likelihood of all tokens except the first of each window."""
    from tinychat_core.checkpoint.manifest import Manifest
    from tinychat_core.engine import Engine
    from tinychat_core.perplexity import perplexity, windows
    from tinychat_core.progress import ProgressBar

    if args.window < 2:
        raise InvalidParameterError('--window must be at least 2')
    context = Manifest.read(Path(args.model)).model.context_length
    if args.window > context:
        raise InvalidParameterError(f"--window must be at most {context}, the model's context")
    try:
        text = Path(args.text).read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise TinyChatError(f'cannot read {args.text}: {error}') from None
    if args.max_windows is not None and args.max_windows < 1:
        raise InvalidParameterError('--max-windows must be at least 1')
    # A cache of one window: its size selects the rotary table of some models, here and in the reference.
    engine = Engine.open(args.model, args.precision, args.backend, args.threads, args.window, kv_cache=args.kv_cache,
                         memory=parse_size(args.memory, '--memory') if args.memory else None)
    parts = windows(engine.tokenizer.encode(text), args.window)[:args.max_windows]
    bar = ProgressBar(f'eval {Path(args.model).name}')
    if args.compare is not None:
        return _compare(args, engine, parts, bar)
    value, count = 0.0, 0
    for done, so_far in enumerate(perplexity(engine, parts), start=1):
        value, count = so_far
        bar(done / len(parts))
    if args.json:
        print(json.dumps({'perplexity': value, 'tokens': count, 'windows': len(parts), 'precision': engine.precision}))
    else:
        print(f'perplexity {value:.4f} over {count} tokens in {len(parts)} windows, {engine.precision}')
    return 0


def _compare(args: argparse.Namespace, engine: Engine, parts: Sequence[Sequence[int]], bar: ProgressBar) -> int:
    """Print the comparison with a reference."""
    from tinychat_core.perplexity import compare
    from tinychat_core.torch_reference import TorchReference

    results = []
    for so_far in compare(engine, TorchReference(Path(args.compare)), parts):
        results.append(so_far)
        bar(len(results) / len(parts))
    result = results[-1]
    if args.json:
        print(json.dumps({**asdict(result), 'windows': len(parts), 'precision': engine.precision}))
    else:
        print(f'perplexity {result.perplexity:.4f}, of the reference {result.reference_perplexity:.4f}; KL divergence '
              f'{result.kl_divergence:.5f}; the same most likely token for {result.top1_agreement:.2%} of '
              f'{result.tokens} '
              f'tokens, {engine.precision}')
    return 0
