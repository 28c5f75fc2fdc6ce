# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat import`: make a split checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinychat_core.checkpoint.layouts import LAYOUTS
from tinychat_core.text.named_templates import template_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('source', help='a GGUF file, a Hugging Face directory with safetensors (AWQ, GPTQ and '
                                       'compressed-tensors included), or a hub id: OWNER/NAME or '
                                       'OWNER/NAME:FILE.gguf')
    parser.add_argument('out', type=Path, help='output directory; it must not exist')
    parser.add_argument('--weights', choices=['W4', 'W8', 'W16'],
                        help='round weights to 4, 8 or 16 bits (default: W16; quantized weights keep their bits)')
    parser.add_argument('--group-size', type=int, choices=[32, 64, 128], default=128,
                        help='for W4: columns that share a scale (default: %(default)s)')
    parser.add_argument('--load-quant', type=Path, metavar='FILE.pt',
                        help='weights that llm-awq quantized (--dump_quant) from the Hugging Face directory SOURCE')
    parser.add_argument('--mmproj', type=Path, metavar='FILE.gguf',
                        help='the vision part of the GGUF model SOURCE, as llama.cpp keeps it')
    parser.add_argument('--chat-template', metavar='FILE|NAME',
                        help=f"replaces the model's chat template: a jinja file, or {', '.join(template_names())}")
    parser.add_argument('--layout', choices=sorted(LAYOUTS),
                        help='order of the weights in the files (default: the order that the kernels use)')
    parser.epilog = ('If a run is interrupted, run the same command again to continue. Files are written to '
                     'OUT.partial, which becomes OUT when it is complete.')


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint; on failure nothing is left under its name."""
    from tinychat_core.importers import import_model
    from tinychat_core.progress import ProgressBar

    import_model(args.source, args.out, args.layout, ProgressBar(f'import {args.out.name}'), args.weights,
                 args.group_size, args.load_quant, args.chat_template, args.mmproj)
    print(f'{args.out}: ready; try `tinychat chat {args.out}`')
    return 0
