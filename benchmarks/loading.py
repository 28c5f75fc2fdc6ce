# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure memory and time of loading the LLaMA-2-7B shape, also with peers: `loading.py DIRECTORY [--peers PYTHON]`.

Random weights are created in DIRECTORY if they are missing: 7b (a split checkpoint, 4 bits) and, for the peers, 7b.gguf
(4 bits) and 7b-bf16 (Hugging Face format, 13.5 GB). PYTHON belongs to the peers' environment, which benchmarks/peers.py
creates. Prints a Markdown table. `--plot F.png` draws the memory over time (needs matplotlib).
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from random_checkpoint import write_random_checkpoint
from random_gguf import write_random_gguf
from random_huggingface import write_random_huggingface

HERE = Path(__file__).parent
CONTEXT = 512


def measured(python: str, runtime: str, model: Path) -> dict[str, Any]:
    """Measure in a separate process. The model's files are read into the page cache first."""
    for file in model.iterdir() if model.is_dir() else [model]:
        subprocess.run(['cat', file], stdout=subprocess.DEVNULL, check=True)
    run = subprocess.run([python, str(HERE / 'loading_run.py'), runtime, str(model), str(CONTEXT)],
                         capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures


def row(figures: dict[str, Any]) -> str:
    """Return one row of the table."""
    return (f'| {figures["runtime"]} | {figures["loaded_s"]:.2f} | {figures["first_token_s"]:.2f} | '
            f'{figures["peak_anon"] / 2**20:,.0f} | {figures["VmHWM"] / 2**20:,.0f} | '
            f'{figures["major_faults_second_half"]} |')


def plot(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw anonymous and mapped memory over time, one panel per runtime."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.2 * len(runs)), layout='constrained')
    for axes, figures in zip(figure.subplots(len(runs), sharex=True, squeeze=False)[:, 0], runs, strict=True):
        times, anon, file = zip(*figures['curve'], strict=True)
        axes.stackplot(times, [a / 2**20 for a in anon], [f / 2**20 for f in file],
                       labels=['anonymous', 'mapped files'])
        axes.axvline(figures['first_token_s'], color='black', linewidth=0.8)
        axes.set(title=f'{figures["runtime"]} (line: first token)', ylabel='MiB')
    axes.set_xlabel('seconds since the start')
    axes.legend(loc='lower right')
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('directory', type=Path)
    parser.add_argument('--peers', metavar='PYTHON', help='Python that has llama-cpp-python and transformers')
    parser.add_argument('--plot', type=Path)
    args = parser.parse_args()
    checkpoint, gguf, floats = (args.directory / name for name in ('7b', '7b.gguf', '7b-bf16'))
    runs = [(sys.executable, runtime, checkpoint) for runtime in ('mapped', 'early', 'size', 'staged')]
    if args.peers:
        runs += [(args.peers, runtime, model) for runtime, model in (('llama-mmap', gguf), ('llama-read', gguf),
                                                                     ('transformers', floats))]
    if not checkpoint.exists():
        write_random_checkpoint('llama-2-7b', checkpoint)
    if args.peers and not gguf.exists():
        write_random_gguf(gguf)
    if args.peers and not floats.exists():
        write_random_huggingface(floats)
    found = [measured(*run) for run in runs]
    print('| runtime | loaded [s] | first token [s] | peak anonymous [MiB] | peak resident [MiB] | late major faults |')
    print('|---|---|---|---|---|---|')
    for figures in found:
        print(row(figures))
    if args.plot:
        plot(found, args.plot)


if __name__ == '__main__':
    main()
