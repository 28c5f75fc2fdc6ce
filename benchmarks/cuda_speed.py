# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
TinyChat on a CUDA device beside its peers, all in one run of less than eight minutes.

    python benchmarks/cuda_speed.py [--minutes 8] [--out build/cuda-speed]

Needs the package (`TINYCHAT_CUDA_ARCHS=native make setup`), matplotlib, and torch with CUDA; transformers and gemlite
are compared with where they can be imported. Products: ours of every format, torch's `_weight_int4pack_mm`, cuBLAS
fp16. Models: the shapes of the original's table on random weights, 4 tokens of context and 200 new ones, INT4 and
FP16, and transformers' FP16. Leaves `speed.json` and `speed.png`; what there is no time left for is left out, and the
table says so.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import asdict
import json
from pathlib import Path
import subprocess
import sys
from time import monotonic
from typing import Any

from cuda_peers import peer_products, transformers_model

# The seven of the original's table, small ones first; the baseline needs 2 bytes a weight on the device.
MODELS = ('llama-2-7b', 'vicuna-7b', 'mpt-7b', 'falcon-7b', 'llama-2-13b', 'vicuna-13b', 'mpt-30b')
# Milliseconds a token of the original on an A6000: fp16, int4.
ORIGINAL: dict[str, tuple[float | None, float]] = {
    'llama-2-7b': (27.14, 8.71), 'llama-2-13b': (47.28, 14.64), 'vicuna-7b': (26.06, 8.39),
    'vicuna-13b': (44.91, 13.46), 'mpt-7b': (22.79, 7.99), 'mpt-30b': (None, 28.15), 'falcon-7b': (39.44, 11.71)}
Row = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Measure, print the tables, and leave the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=8, help='when to stop (default: 8)')
    parser.add_argument('--out', type=Path, default=Path('build/cuda-speed'), help='directory of the results')
    parser.add_argument('--models', default=','.join(MODELS), help='shapes of `tinychat bench`, separated by commas')
    parser.add_argument('--from-json', type=Path, help='print the tables of an earlier run again')
    args = parser.parse_args(argv)
    if args.minutes <= 0:
        parser.error('--minutes must be more than 0')
    if args.from_json:
        found = json.loads(args.from_json.read_text())
    else:
        found = measure(args.models.split(','), monotonic() + 60 * args.minutes)
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / 'speed.json').write_text(json.dumps(found, indent=1))
    print('\n'.join(tables(found)))
    if not args.from_json:
        plot(found['models'], args.out / 'speed.png')
    return 0


def measure(models: Iterable[str], end: float) -> dict[str, Any]:
    """Return device, products and models, as far as time reaches."""
    from tinychat_core import _tinychat
    from tinychat_core.bench.kernels import measure_products
    from tinychat_core.cuda import usable_library

    library = usable_library('cuda', 'W4', None)
    assert library is not None
    device = _tinychat.cuda_device(str(library))
    bandwidth = _tinychat.cuda_copy_bandwidth(str(library))
    products = [{'by': 'tinychat', **asdict(time)} for time in measure_products(library)]
    products += peer_products(bandwidth)
    found: list[Row] = []
    for name in models:
        if monotonic() > end:
            found.append({'model': name, 'skipped': 'no time left'})
            continue
        row: Row = {'model': name}
        for label, precision in (('int4_ms', 'W4A16'), ('fp16_ms', 'W16A16')):
            row[label] = milliseconds(name, precision, end - monotonic())
        if monotonic() < end:
            row['transformers_ms'] = transformers_model(name)
        found.append(row)
    return {'device': device, 'copy_gb_per_s': bandwidth / 1e9, 'products': products, 'models': found}


def milliseconds(name: str, precision: str, seconds: float) -> float | None:
    """Return the median milliseconds a token of a shape in a process of its own; None where it did not end."""
    command = [sys.executable, '-m', 'tinychat_core.cli', 'bench', '--shape', name, '--precision', precision,
               '--backend', 'cuda', '--json']
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(seconds, 10), check=True)
        return 1e3 / float(json.loads(done.stdout.splitlines()[-1])['decode_tokens_per_s'])
    except (subprocess.SubprocessError, KeyError, ValueError) as error:
        reason = getattr(error, 'stderr', None) or str(error)
        print(f'{name} {precision}: {str(reason).strip().splitlines()[-1:]}', file=sys.stderr)
        return None


def tables(found: dict[str, Any]) -> list[str]:
    """Return the lines of both tables."""
    lines = [f'{found["device"]["name"]}: a large copy moves {found["copy_gb_per_s"]:.0f} GB/s', '',
             f'{"rows":>6} {"cols":>6} {"format":>7} {"group":>5} {"by":<20} {"µs":>9} {"GB/s":>8} {"of a copy":>9}']
    order = sorted(found['products'], key=lambda p: (p['rows'] * p['cols'], p['rows'], p['format'], p['microseconds']))
    lines += [f'{p["rows"]:6d} {p["cols"]:6d} {p["format"]:>7} {p["group_size"] or "-":>5} {p["by"]:<20} '
              f'{p["microseconds"]:9.2f} {p["gb_per_s"]:8.0f} {p["bandwidth_share"]:9.0%}' for p in order]
    lines += ['', f'{"model":<14} {"FP16 ms":>8} {"INT4 ms":>8} {"speed-up":>8} {"transformers ms":>15} {"over it":>8} '
                  f'{"original":>8}']
    for row in found['models']:
        if 'skipped' in row:
            lines.append(f'{row["model"]:<14} {row["skipped"]}')
            continue
        whole, four, other = (row.get(key) for key in ('fp16_ms', 'int4_ms', 'transformers_ms'))
        original = ORIGINAL.get(row['model'])
        lines.append(f'{row["model"]:<14} {_number(whole)} {_number(four)} {_ratio(whole, four)} '
                     f'{_number(other):>15} {_ratio(other, four)} {_ratio(*original) if original else "-":>8}')
    return lines


def plot(models: list[Row], path: Path) -> None:
    """Draw milliseconds a token, three bars a model."""
    from matplotlib.figure import Figure

    rows = [row for row in models if 'skipped' not in row]
    figure = Figure(figsize=(9, 4), layout='constrained')
    axes = figure.subplots()
    for i, (key, label) in enumerate((('transformers_ms', 'transformers FP16'), ('fp16_ms', 'TinyChat FP16'),
                                      ('int4_ms', 'TinyChat INT4'))):
        axes.bar([x + 0.27 * (i - 1) for x in range(len(rows))], [row.get(key) or 0 for row in rows], 0.25, label=label)
    axes.set_xticks(range(len(rows)), [row['model'] for row in rows], rotation=20)
    axes.set_ylabel('milliseconds a token')
    axes.legend()
    figure.savefig(path, dpi=120)


def _number(value: float | None) -> str:
    return f'{value:8.2f}' if value else f'{"-":>8}'


def _ratio(slow: float | None, fast: float | None) -> str:
    return f'{slow / fast:7.2f}x' if slow and fast else f'{"-":>8}'


if __name__ == '__main__':
    sys.exit(main())
