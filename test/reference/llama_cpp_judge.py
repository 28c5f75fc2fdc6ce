# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What llama.cpp's tokenizer makes of texts: a program for the peers' environment, which benchmarks/peers.py makes.

Reads a list of {path, texts, parse_special, add_special} from standard input; writes a list of lists of ids.
"""
from __future__ import annotations

import ctypes
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

PYTHON = Path(__file__).parents[2] / 'build' / 'peers' / 'venv' / 'bin' / 'python'


def ask(jobs: list[dict[str, Any]], python: Path = PYTHON) -> list[list[list[int]]]:
    """Return the ids of each text of each job."""
    done = subprocess.run([python, __file__], input=json.dumps(jobs), stdout=subprocess.PIPE, text=True,
                          check=True)
    ids: list[list[list[int]]] = json.loads(done.stdout)
    return ids


def main() -> None:
    """Answer what stands in standard input."""
    import llama_cpp as lib

    quiet = lib.llama_log_callback(lambda *_: None)
    lib.llama_log_set(quiet, ctypes.c_void_p(0))
    answers = []
    for job in json.load(sys.stdin):
        options = lib.llama_model_default_params()
        options.vocab_only = True
        model = lib.llama_model_load_from_file(job['path'].encode(), options)
        if not model:
            sys.exit(f'llama.cpp does not load {job["path"]}')
        vocabulary = lib.llama_model_get_vocab(model)
        answers.append([_ids(lib, vocabulary, text.encode(), job) for text in job['texts']])
        lib.llama_model_free(model)
    json.dump(answers, sys.stdout)


def _ids(lib: Any, vocabulary: Any, text: bytes, job: dict[str, Any]) -> list[int]:
    room = 2 * len(text) + 8
    ids = (lib.llama_token * room)()
    count = lib.llama_tokenize(vocabulary, text, len(text), ids, room, job['add_special'], job['parse_special'])
    assert count >= 0
    return list(ids[:count])


if __name__ == '__main__':
    main()
