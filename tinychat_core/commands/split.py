# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat split`: rewrite a checkpoint with other shards or in another layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinychat_core.checkpoint.layouts import LAYOUTS
from tinychat_core.sizes import parse_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('model', type=Path, help='directory of a split checkpoint')
    parser.add_argument('out', type=Path, help='output directory; it must not exist')
    parser.add_argument('--max-shard-size', metavar='SIZE',
                        help='maximum file size, e.g. 64MiB; a decoder layer may span files (default: same files)')
    parser.add_argument('--layout', choices=sorted(LAYOUTS),
                        help='order of the weights in the files (default: the order that the kernels use)')
    parser.epilog = ('The weights do not change. If a run is interrupted, run the same command again to continue. '
                     'Files are written to OUT.partial, which becomes OUT when it is complete.')


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint; on failure nothing is left under its name."""
    from tinychat_core.checkpoint.manifest import Manifest
    from tinychat_core.importers.split import split
    from tinychat_core.progress import ProgressBar

    limit = None if args.max_shard_size is None else parse_size(args.max_shard_size, '--max-shard-size')
    split(args.model, args.out, limit, args.layout, ProgressBar(f'split {args.out.name}'))
    print(f'{args.out}: ready, {len(Manifest.read(args.out).shards)} shards')
    return 0
