# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat quantize`: AWQ, SmoothQuant or rounding to the nearest."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinychat_core.errors import TinyChatError
from tinychat_core.quantize.method import Method, METHODS, PRECISIONS
from tinychat_core.text.named_templates import template_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('source', help='a Hugging Face directory with safetensors, a hub id or a GGUF file')
    parser.add_argument('out', type=Path, help='output directory; it must not exist')
    parser.add_argument('--method', choices=METHODS, default='awq', help='default: %(default)s')
    parser.add_argument('--precision', choices=PRECISIONS,
                        help='precision that the model will run in (default: W4A16; smoothquant: W8A8)')
    parser.add_argument('--group-size', type=int, choices=[32, 64, 128], default=128,
                        help='for 4 bits: columns that share a scale (default: %(default)s)')
    parser.add_argument('--text', type=Path, metavar='FILE',
                        help='calibration text: a plain text file, or chats as .jsonl with "messages"; best are 40000 '
                             'tokens or more of typical use (default: a short built-in text)')
    parser.add_argument('--chat-template', metavar='FILE|NAME',
                        help=f"replaces the model's chat template: a jinja file, or {', '.join(template_names())}")
    parser.add_argument('--save-search', type=Path, metavar='FILE',
                        help='save scales and clipping to this .safetensors file')
    parser.add_argument('--load-search', type=Path, metavar='FILE',
                        help='use a file of --save-search, or a .pt file of llm-awq, instead of searching')
    parser.epilog = ('If a run is interrupted, run the same command again to continue. Files are written to '
                     'OUT.partial and OUT.calibration. OUT appears when it is complete.')


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint, and print the loss of accuracy; on failure nothing is left under its name."""
    method = Method.of(args.method, args.precision, args.group_size)
    for option in () if method.calibrates else ('text', 'save_search', 'load_search'):
        if getattr(args, option) is not None:
            raise TinyChatError(f'--method {args.method} uses no calibration text and no search; leave out '
                                f'--{option.replace("_", "-")}')
    try:
        from tinychat_core.quantize.run import quantize_model
    except ModuleNotFoundError as error:
        if error.name != 'torch':
            raise
        raise TinyChatError('quantizing needs torch: pip install torch') from None
    from tinychat_core.progress import ProgressBar

    try:
        summary = quantize_model(args.source, args.out, method, args.text, save_search=args.save_search,
                                 load_search=args.load_search, chat_template=args.chat_template,
                                 progress=ProgressBar(f'quantize {args.out.name}'))
    except KeyboardInterrupt:
        raise TinyChatError(f'stopped before {args.out} was complete; run the same command again to continue') from None
    if summary.reports:
        print(f'layer   error of RTN   of {method.name}')
        for index, report in enumerate(summary.reports):
            print(f'{index:5}   {report.before:12.3e}   {report.after:.3e}')
    if summary.perplexities:
        print('perplexity on held-out text: ' + ', '.join(
            f'{name} {value:.3f}' for name, value in summary.perplexities.items()))
    print(f'{args.out}: ready; try `tinychat chat {args.out}`')
    return 0
