# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare TinyChat with its peers on a CUDA device, in one run of less than eight minutes.

    python benchmarks/cuda_speed.py [--minutes 8] [--out build/cuda-speed]

Needs the package (`TINYCHAT_CUDA_ARCHS=native make setup`), matplotlib, and torch with CUDA. transformers and gemlite
take part if they are installed. Measures:

- Matrix-vector products: ours in every format, torch's `_weight_int4pack_mm`, gemlite's, cuBLAS fp16.
- Models: the shapes of llm-awq's table with random weights, 4 tokens of context and 200 new tokens, sampled on the
  device, in INT4 and FP16, and transformers in FP16. For the first model also an int8 KV cache, W8A8, W8A16, a prompt
  of 512 tokens and a context of 4096.
- Sampling: the time per token of a small model with different sampling parameters.

Writes `speed.json` and `speed.png`. Measurements that no longer fit into the time are skipped, and the table says so.
Peers are measured last.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
import json
from pathlib import Path
from statistics import median
import subprocess
import sys
from time import monotonic
from typing import Any

from cuda_peers import PEERS

# The seven models of llm-awq's table, small ones first. The FP16 baseline needs 2 bytes per weight on the device.
MODELS = ('llama-2-7b', 'vicuna-7b', 'mpt-7b', 'falcon-7b', 'llama-2-13b', 'vicuna-13b', 'mpt-30b')
# Milliseconds per token of llm-awq's TinyChat on an A6000: fp16, int4.
ORIGINAL: dict[str, tuple[float | None, float]] = {
    'llama-2-7b': (27.14, 8.71), 'llama-2-13b': (47.28, 14.64), 'vicuna-7b': (26.06, 8.39),
    'vicuna-13b': (44.91, 13.46), 'mpt-7b': (22.79, 7.99), 'mpt-30b': (None, 28.15), 'falcon-7b': (39.44, 11.71)}
# Label -> precision, KV cache: measured for each model, and in addition for the first one.
SETTINGS = {'int4': ('W4A16', 'auto'), 'fp16': ('W16A16', 'auto')}
MORE = {'int4_kv8': ('W4A16', 'int8'), 'w8a8': ('W8A8', 'auto'), 'w8a16': ('W8A16', 'auto')}
NEW_TOKENS = 200
LONG = 4096 - NEW_TOKENS
SMALL = 'smollm2-135m'
# Kinds of sampling: parameters of the sampler, and whether a mask forbids half of the vocabulary.
CHOICES: dict[str, tuple[dict[str, Any], bool]] = {
    'greedy': ({}, False), 'top-k 40, penalty, mask': (
        {'temperature': 0.8, 'top_k': 40, 'top_p': 0.95, 'repetition_penalty': 1.1}, True),
    'of a whole row': ({'temperature': 0.8, 'top_p': 0.95}, False)}
Row = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Measure, print the tables and save the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=8, help='stop after this time (default: 8)')
    parser.add_argument('--out', type=Path, default=Path('build/cuda-speed'), help='directory for the results')
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


def measure(models: Sequence[str], end: float) -> dict[str, Any]:
    """Return the device, and the results that fit into the time: products, models, sampling, each with its duration."""
    from tinychat_core import _tinychat
    from tinychat_core.bench.kernels import measure_gemms
    from tinychat_core.cuda import usable_library

    library = usable_library('cuda', 'W4', None)
    assert library is not None
    bandwidth = _tinychat.cuda_copy_bandwidth(str(library))
    found: dict[str, Any] = {'device': _tinychat.cuda_device(str(library)), 'copy_gb_per_s': bandwidth / 1e9,
                             'products': [], 'models': [], 'choices': [], 'seconds': {}}

    def timed(part: str, to: list[Row], find: Callable[..., Iterable[Row]], *arguments: Any) -> None:
        begin = monotonic()
        to.extend(find(*arguments))
        found['seconds'][part] = round(monotonic() - begin, 1)

    def products() -> Iterator[Row]:
        for time in measure_gemms(library):
            row = {'by': 'tinychat', **asdict(time)}
            yield row | {'format': row['format'] + ('a8' if row['byte_tokens'] else '')}

    timed('products', found['products'], products)
    timed('choices', found['choices'], choices)
    timed('models', found['models'], lambda: (model(name, name == models[0], end) for name in models))
    for peer in PEERS:
        timed(peer, found['products'], peer_lines, min(45.0, end - monotonic()), peer, str(bandwidth))
    theirs: list[Row] = []
    measured = [row['model'] for row in found['models'] if 'skipped' not in row]
    timed('transformers', theirs, peer_lines, end - monotonic(), 'transformers', *measured)
    for row in found['models']:
        row |= next((line for line in theirs if line['model'] == row['model']), {})
    return found


def model(name: str, whole: bool, end: float) -> Row:
    """Return the results of a model that fit into the time; all kinds of results if it is the `whole` one."""
    if monotonic() >= end:
        return {'model': name, 'skipped': 'no time left'}
    row: Row = {'model': name}
    contexts = (4, 512, LONG) if whole else (4,)
    for label, (precision, kv_cache) in (SETTINGS | MORE if whole else SETTINGS).items():
        results = bench(name, precision, kv_cache, contexts, end - monotonic())
        for context, result in zip(contexts, results, strict=False):
            suffix = '' if context == 4 else f'_{context}'
            row[f'{label}_ms{suffix}'] = 1e3 / float(result['decode_tokens_per_s'])
            row[f'{label}_prefill_ms{suffix}'] = float(result['time_to_first_token_ms'])
            row[f'{label}_gb{suffix}'] = float(result['read_gb_per_s']) / float(result['decode_tokens_per_s'])
    return row


def choices(tokens: int = 100) -> Iterator[Row]:
    """Yield milliseconds per token of a small model, sampled on the device or from logits copied to the host."""
    import numpy as np

    from tinychat_core._tinychat import Sampler
    from tinychat_core.bench.shapes import manifest, random_tensors
    from tinychat_core.engine import Engine

    listed = manifest(SMALL, 'W4')
    engine = Engine(listed.model, random_tensors(listed), weights='W4', precision='W4A16', backend='cuda',
                    max_seq_len=tokens + 8)
    allowed = np.full(-(-engine.vocab_size // 32), 0x55555555, np.uint32)
    for name, (settings, masked) in CHOICES.items():
        cache, sampler = engine.new_cache(), Sampler(0, **settings)
        times = []
        for token in range(tokens + 4):
            begin = monotonic()
            sampler.accept(engine.sample(cache, [token], sampler, allowed if masked else None))
            times.append(monotonic() - begin)
        yield {'choice': name, 'ms': 1e3 * median(times[4:])}  # the first ones load kernels and record a CUDA graph
    engine.close()


def bench(name: str, precision: str, kv_cache: str, contexts: Iterable[int], seconds: float) -> list[Row]:
    """Return the results of `tinychat bench` for a shape, one per context."""
    lines = lines_of([sys.executable, '-m', 'tinychat_core.cli', 'bench', '--shape', name, '--precision', precision,
                      '--kv-cache', kv_cache, '--backend', 'cuda', '--json', '--context', ','.join(map(str, contexts)),
                      '--new-tokens', str(NEW_TOKENS)], seconds)
    # The line of a shape that does not fit has its memory plan instead.
    return [line for line in lines if 'decode_tokens_per_s' in line]


def peer_lines(seconds: float, *arguments: str) -> list[Row]:
    """Return the results of a peer that fit into the time."""
    return lines_of([sys.executable, str(Path(__file__).with_name('cuda_peers.py')), *arguments], seconds)


def lines_of(command: list[str], seconds: float) -> list[Row]:
    """Return the JSON lines that a process printed before it ended or the time was over."""
    if seconds <= 0:
        return []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, errors = process.communicate()
        errors += f'{" ".join(command[1:4])}: no time left'
    if process.returncode:
        print('\n'.join(errors.strip().splitlines()[-2:]), file=sys.stderr)
    return [json.loads(line) for line in out.splitlines() if line.startswith('{')]


def tables(found: dict[str, Any]) -> list[str]:
    """Return the lines of the tables."""
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
    for row in found['models'][:1]:
        theirs = row.get('transformers_prefill_ms')
        lines += ['', f'{row["model"]}, 512 tokens of a prompt: INT4 {_number(row.get("int4_prefill_ms_512"))} ms, '
                      f'FP16 {_number(row.get("fp16_prefill_ms_512"))} ms, transformers {_number(theirs)} ms']
        for label in MORE:
            if row.get(f'{label}_ms'):
                lines.append(f'{row["model"]}, {label.upper()}: {row[f"{label}_ms"]:.2f} ms a token, 512 tokens of a '
                             f'prompt {_number(row.get(f"{label}_prefill_ms_512")).strip()} ms')
        for label in ('int4', 'fp16', 'int4_kv8'):
            short, long = row.get(f'{label}_ms'), row.get(f'{label}_ms_{LONG}')
            if short and long:
                bytes_ratio = row[f'{label}_gb_{LONG}'] / row[f'{label}_gb']
                lines.append(f'{row["model"]}, {label}, up to 4096 tokens of context: {long:.2f} ms a token, '
                             f'{long / short / bytes_ratio:.2f} of what the bytes would make of {short:.2f} ms')
    lines += [f'{SMALL}, a token {row["choice"]}: {row["ms"]:.3f} ms' for row in found.get('choices', [])]
    if 'seconds' in found:
        lines += ['', 'seconds: ' + ', '.join(f'{part} {seconds:.0f}' for part, seconds in found['seconds'].items())]
    return lines


def plot(models: list[Row], path: Path) -> None:
    """Draw milliseconds per token, three bars per model."""
    from matplotlib.figure import Figure

    rows = [row for row in models if 'skipped' not in row]
    figure = Figure(figsize=(9, 4), layout='constrained')
    axes = figure.subplots()
    for i, (key, label) in enumerate((('transformers_ms', 'transformers FP16'), ('fp16_ms', 'TinyChat FP16'),
                                      ('int4_ms', 'TinyChat INT4'))):
        axes.bar([x + 0.27 * (i - 1) for x in range(len(rows))], [row.get(key) or 0 for row in rows], 0.25, label=label)
    axes.set_xticks(range(len(rows)), [row['model'] for row in rows], rotation=20)
    axes.set_ylabel('milliseconds per token')
    axes.legend()
    figure.savefig(path, dpi=120)


def _number(value: float | None) -> str:
    return f'{value:8.2f}' if value else f'{"-":>8}'


def _ratio(slow: float | None, fast: float | None) -> str:
    return f'{slow / fast:7.2f}x' if slow and fast else f'{"-":>8}'


if __name__ == '__main__':
    sys.exit(main())
