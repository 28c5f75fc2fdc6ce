# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat info`: what a checkpoint is, what it will take, whether it fits."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import re

from tinychat_core.errors import InvalidParameterError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('model', type=Path, help='directory of a split checkpoint')
    parser.add_argument('--memory', metavar='SIZE', help='what the model may take, e.g. 8GiB (default: what is available now)')
    parser.add_argument('--max-seq-len', type=int, metavar='N', help="positions of the KV cache (default: the model's context)")
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')


def run(args: argparse.Namespace) -> int:
    """Print what the manifest says; the weights themselves are not read."""
    from tinychat_core.checkpoint.manifest import Manifest
    from tinychat_core.checkpoint.memory_plan import available_memory, plan

    manifest = Manifest.read(args.model)
    memory = _bytes(args.memory) if args.memory else available_memory()
    needs = plan(manifest, args.max_seq_len)
    facts = {'path': str(args.model), 'family': manifest.family, 'weights': manifest.weights,
             'group_size': manifest.group_size, 'layers': manifest.model['layers'],
             'context_length': needs.max_seq_len, 'vocab_size': manifest.model['vocab_size'],
             'weights_bytes': needs.weights_bytes, 'kv_cache_bytes': needs.kv_cache_bytes,
             'buffers_bytes': needs.buffers_bytes, 'total_bytes': needs.total_bytes, 'memory_bytes': memory,
             'fits': needs.total_bytes <= memory}
    if args.json:
        print(json.dumps(facts))
        return 0
    for name, value in facts.items():
        shown = f'{value / 2**20:,.1f} MiB' if name.endswith('_bytes') else value
        print(f'{name.removesuffix("_bytes"):<16} {shown}')
    return 0


def _bytes(text: str) -> int:
    match = re.fullmatch(r'([0-9.]+)\s*([KMGT]?)(i?)B?', text.strip())
    if not match:
        raise InvalidParameterError(f"--memory takes a size like 8GiB or 500MB, not '{text}'")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** ' KMGT'.index(prefix or ' '))
