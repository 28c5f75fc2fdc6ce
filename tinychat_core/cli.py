# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: `tinychat COMMAND …`; a command is a module of `commands`, imported when used."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
import os
import sys

from tinychat_core import __version__
from tinychat_core.errors import one_line, TinyChatError

# command -> (module, one line of help)
COMMANDS = {
    'import': ('import_', 'make a split checkpoint from a model file'),
    'quantize': ('quantize', 'quantize a model with AWQ, SmoothQuant or rounding'),
    'split': ('split', 'copy a checkpoint with another shard size or layout'),
    'info': ('info', 'show the model and memory of a checkpoint, and whether it fits'),
    'chat': ('chat', 'talk to a model in the terminal'),
    'serve': ('serve', "serve a model over HTTP: OpenAI's API, Ollama's, and a web page"),
    'bench': ('bench', 'measure prefill and decode speed on this machine'),
    'eval': ('eval', 'measure the perplexity of a model on a text'),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 2 after one line on stderr for an error that the user can fix, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog='tinychat',
                                     description='Language models that run on the robot itself.')
    parser.add_argument('--version', action='version', version=f'tinychat {__version__}')
    chosen = next((argument for argument in arguments if not argument.startswith('-')), None)
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, (module, help_) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + '.')
        if name == chosen:  # only the command that runs is imported
            import_module(f'tinychat_core.commands.{module}').add_arguments(subparser)
    args = parser.parse_args(arguments)
    try:
        from tinychat_core.boundary import is_defect

        run = import_module(f'tinychat_core.commands.{COMMANDS[args.command][0]}').run
        code = int(run(args))
        if sys.stdout is not None:  # it may be closed
            sys.stdout.flush()  # here, where a closed pipe can still be handled
        return code
    except TinyChatError as error:
        print(f'tinychat: error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # of our output; errors of input files have their own messages
        if not isinstance(error, BrokenPipeError):
            print(f'tinychat: error: {one_line(str(error))}', file=sys.stderr)
        # The reader has closed the pipe, or the disk is full; keep the interpreter from reporting it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except BaseException as error:
        if not is_defect(error) or os.environ.get('TINYCHAT_TRACEBACK'):
            raise
        what = one_line(f'{type(error).__name__}: {error}')
        print(f'tinychat: internal error: {what}; TINYCHAT_TRACEBACK=1 shows where', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
