# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat info`: what a checkpoint contains, how much memory it needs, and whether it fits."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tinychat_core.errors import InvalidParameterError
from tinychat_core.loading.memory_plan import KV_CACHES
from tinychat_core.sizes import parse_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('model', type=Path, nargs='?', help='directory of a split checkpoint')
    parser.add_argument('--memory', metavar='SIZE',
                        help='memory limit of the model, e.g. 8GiB (default: what is available now)')
    parser.add_argument('--max-seq-len', type=int, metavar='N',
                        help="tokens in the KV cache (default: the model's context; 0: as many as fit)")
    parser.add_argument('--precision',
                        help="W4, W4A16, W4A8, … (default: the backend's default for the stored weights)")
    parser.add_argument('--kv-cache', choices=KV_CACHES, default='auto', help='int8: half the memory of 16 bits')
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--json', action='store_true', help='print one JSON object')
    form.add_argument('--report', action='store_true',
                      help='print what a bug report needs: versions, CPU, model, plan; no paths, no prompts')
    parser.epilog = 'This reads only the manifest, not the weights, so it is fast for models of any size.'


def run(args: argparse.Namespace) -> int:
    """Print the content of the manifest and the memory plan."""
    from tinychat_core.checkpoint.manifest import Manifest
    from tinychat_core.loading.memory_plan import advice, largest_context, plan, Request
    from tinychat_core.loading.system_memory import available_memory

    if args.report:
        _print_installation()
        if args.model is None:
            return 0
    if args.model is None:
        raise InvalidParameterError('info needs the directory of a split checkpoint, or --report')
    manifest = Manifest.read(args.model)
    memory = parse_size(args.memory, '--memory') if args.memory else available_memory()
    request = Request(args.precision, args.kv_cache)
    largest = largest_context(manifest, memory, request)
    needs = plan(manifest, (largest or 1) if args.max_seq_len == 0 else args.max_seq_len, request)
    model, fits = manifest.model, needs.total_bytes <= memory
    facts = {'path': str(args.model), 'family': manifest.family, 'weights': manifest.weights,
             'group_size': manifest.group_size,
             **{name: getattr(model, name) for name in ('layers', 'hidden_size', 'heads', 'kv_heads', 'vocab_size',
                                                        'context_length')},
             'max_seq_len': needs.max_seq_len,
             'weights_bytes': needs.weights_bytes, 'kv_cache_bytes': needs.kv_cache_bytes,
             'buffers_bytes': needs.buffers_bytes, 'total_bytes': needs.total_bytes, 'memory_bytes': memory,
             'largest_max_seq_len': largest, 'fits': fits,
             'advice': '' if fits else advice(manifest, memory, needs.max_seq_len, request)}
    if args.json:
        print(json.dumps(facts))
        return 0
    grouped = f', groups of {manifest.group_size}' if manifest.group_size else ''
    title = 'model' if args.report else args.model
    print(f'{title}: {manifest.family}, {manifest.weights}{grouped}, {model.layers} layers of '
          f'{model.hidden_size}, {model.heads} heads over {model.kv_heads}, '
          f'vocabulary {model.vocab_size}, context {model.context_length}')
    for name, value in (('weights', needs.weights_bytes),
                        (f'KV cache, {needs.max_seq_len} positions', needs.kv_cache_bytes),
                        ('buffers', needs.buffers_bytes), ('total', needs.total_bytes), ('memory', memory)):
        print(f'  {name:<30} {value / 2**20:10,.1f} MiB')
    print('  it fits' if fits else f'  it does not fit; {facts["advice"]}')
    return 0


def _print_installation() -> None:
    from tinychat_core.commands.report import installation

    for name, value in installation().items():
        print(f'{name}: {value}')
