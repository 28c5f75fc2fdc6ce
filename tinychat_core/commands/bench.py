# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat bench`: how fast a model prefills and decodes on this machine."""
from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys

from tinychat_core.bench.shapes import manifest, random_tensors, SHAPES
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.errors import BackendFailedError, InvalidParameterError
from tinychat_core.loading.memory_plan import KV_CACHES, MAX_PARALLEL
from tinychat_core.sizes import parse_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('model', nargs='?', help='directory of a split checkpoint')
    parser.add_argument('--shape', choices=SHAPES,
                        help='instead of a model: the shape of a known model with random weights')
    parser.add_argument('--precision', help='W4, W4A16, W4A8 (the same with W5, W6 and W8) or W16A16 (default: as the '
                                            'backend does with the stored weights; with --shape: W4)')
    parser.add_argument('--kv-cache', choices=KV_CACHES, default='auto', help='int8: half the memory of 16 bits')
    parser.add_argument('--memory', metavar='SIZE',
                        help='memory limit of the model, e.g. 8GiB (default: what is available now, without swap)')
    parser.add_argument('--backend', default='auto', help='auto, cpu or cuda (default: auto)')
    parser.add_argument('--context', default='4', metavar='N[,N…]', help='tokens in the prompt (default: 4)')
    parser.add_argument('--new-tokens', type=int, default=200, metavar='N',
                        help='tokens to decode after it (default: 200)')
    parser.add_argument('--threads', metavar='N[,N…]',
                        help='CPU threads (default: one for each physical core that the process may use)')
    parser.add_argument('--json', action='store_true', help='print one JSON line per setting')
    parser.add_argument('--profile', action='store_true', help='also print the time of each step of the forward pass')
    parser.add_argument('--parallel', metavar='N[,N…]',
                        help='answers at the same time: also print their speed, the time to the first token of one '
                             'more prompt of --context tokens, and the longest gap in the others meanwhile')
    parser.add_argument('--task', action='append', choices=('extract', 'json', 'free'),
                        help='instead: answers to prompts of this kind, with and without guessing tokens; may be given '
                             'several times')
    parser.add_argument('--kernels', action='store_true',
                        help='instead of a model: each matrix product of LLaMA models on a CUDA device')
    parser.add_argument('--plot', metavar='FILE.png',
                        help='plot decode speed over context, or with --parallel over the answers at the same time '
                             '(needs matplotlib)')


def run(args: argparse.Namespace) -> int:
    """Print one line per setting: decode and prefill speed, and the share of the memory bandwidth in the same run."""
    from tinychat_core.bench.latency import Latency, measure, profile
    from tinychat_core.bench.parallel import measure_parallel, ParallelSpeed
    from tinychat_core.cuda import usable_library
    from tinychat_core.engine import Engine

    if args.kernels:
        return _kernels(args)
    if (args.model is None) == (args.shape is None):
        raise InvalidParameterError('give either a model directory or --shape')
    contexts = _numbers('--context', args.context)
    if args.new_tokens < 1:
        raise InvalidParameterError('--new-tokens must be at least 1')
    if args.task:
        return _tasks(args)
    parallel = _numbers('--parallel', args.parallel) if args.parallel else []
    if parallel and max(parallel) > MAX_PARALLEL:
        raise InvalidParameterError(f'--parallel must be 1 .. {MAX_PARALLEL}')
    if args.plot:
        from tinychat_core.bench.plot import check_plot, plot_latencies, plot_parallel

        check_plot(args.plot)
    length = max(contexts) + args.new_tokens
    if parallel:
        # Answers go on while one more prompt is read.
        length = 2 * max(contexts) + max(args.new_tokens, 1000)
    weights = (args.precision or 'W4').split('A')[0]
    tensors = None
    if args.shape:
        if weights not in ('W4', 'W8', 'W16'):
            raise InvalidParameterError(f"unknown precision '{args.precision}'")
        listed = manifest(args.shape, weights)
        library = usable_library(args.backend, weights, args.precision)
        if not _fits(listed, length, args, library):
            return 0
        tensors = random_tensors(listed, distinct=library is None)
    results: list[Latency] = []
    speeds: list[ParallelSpeed] = []
    for threads in _numbers('--threads', args.threads) if args.threads else [None]:
        if tensors is not None:
            engine = Engine(listed.model, tensors, weights=weights, precision=args.precision,
                            backend=args.backend, threads=threads, max_seq_len=length, kv_cache=args.kv_cache)
        else:
            engine = Engine.open(args.model, args.precision, args.backend, threads, length, kv_cache=args.kv_cache,
                                 memory=parse_size(args.memory, '--memory') if args.memory else None)
        if not args.json and not results:
            print(f'{args.shape or args.model}: {engine.token_bytes / 1e6:.1f} MB per token, {engine.precision} on '
                  f'{engine.isa}')
            print(f'{"context":>8} {"threads":>8} {"decode":>14} {"prefill":>14} {"read":>12} {"of memory":>10}')
        for context in contexts:
            result = measure(engine, context, args.new_tokens)
            results.append(result)
            if args.json:
                print(json.dumps(result.as_json()), flush=True)
            else:
                print(f'{context:8d} {result.threads:8d} {result.decode_tokens_per_s:8.1f} tok/s '
                      f'{result.prefill_tokens_per_s:8.1f} tok/s {result.read_gb_per_s:7.1f} GB/s '
                      f'{result.bandwidth_share:9.0%}', flush=True)
        for n in parallel:
            for context in contexts:
                speed = measure_parallel(engine, n, context, args.new_tokens)
                speeds.append(speed)
                print(json.dumps(speed.as_json()) if args.json else
                      f'{context:8d} {n:8d} answers {speed.tokens_per_s:8.1f} tok/s in all '
                      f'{speed.tokens_per_s_each:8.1f} each; one more prompt meanwhile: first token after '
                      f'{speed.first_token_ms:.0f} ms, longest gap {speed.longest_gap_steps:.1f} steps', flush=True)
        if args.profile:
            for step, microseconds, share in profile(engine, max(contexts), args.new_tokens):
                print(f'  {step:<10} {microseconds:9.1f} µs per token {share:7.1%}', file=sys.stderr)
        engine.close()
    if args.plot:
        title = args.shape or Path(args.model).name
        if speeds:
            plot_parallel(speeds, f'{title}, {results[0].threads} threads', args.plot)
        else:
            plot_latencies(results, title, args.plot)
    return 0


def _tasks(args: argparse.Namespace) -> int:
    """Print a line per task."""
    from tinychat_core.bench.tasks import measure_task
    from tinychat_core.engine import Engine

    if args.model is None:
        raise InvalidParameterError('--task needs a model directory: random weights give no meaningful answers')
    threads = _numbers('--threads', args.threads)[0] if args.threads else None
    engine = Engine.open(args.model, args.precision, args.backend, threads, kv_cache=args.kv_cache,
                         memory=parse_size(args.memory, '--memory') if args.memory else None)
    for task in args.task:
        result = measure_task(engine, task, args.new_tokens)
        print(json.dumps(result.as_json()) if args.json else
              f'{task:>8} {result.tokens_per_s:8.1f} tok/s, {result.tokens_per_s_without:.1f} without guesses: '
              f'{result.speed_up:.2f} times as fast, {result.accepted_share:.0%} of the tokens guessed', flush=True)
    engine.close()
    return 0


def _kernels(args: argparse.Namespace) -> int:
    """Print the time of each product as it is measured."""
    from dataclasses import asdict

    from tinychat_core._tinychat import DeviceError
    from tinychat_core.bench.kernels import measure_gemms, table
    from tinychat_core.cuda import usable_library

    library = usable_library('cuda', 'W4', None)
    assert library is not None
    try:
        times = measure_gemms(library)
        for line in (json.dumps(asdict(time)) for time in times) if args.json else table(times):
            print(line, flush=True)
    except DeviceError as error:
        raise BackendFailedError(str(error)) from None
    return 0


def _fits(listed: Manifest, positions: int, args: argparse.Namespace, library: Path | None) -> bool:
    """Print the memory plan of a shape, and return whether it fits."""
    from tinychat_core.cuda import machine
    from tinychat_core.loading.memory_plan import plan, Request
    from tinychat_core.loading.system_memory import available_memory

    has = (parse_size(args.memory, '--memory') if args.memory else
           available_memory() if library is None else machine(library).room)
    backend = 'cpu' if library is None else 'cuda'
    needs = plan(listed, positions, Request(args.precision, args.kv_cache, backend=backend))
    fits = needs.total_bytes <= has
    if not args.json:
        total, weights, cache, buffers = (count / 2**30 for count in (
            needs.total_bytes, needs.weights_bytes, needs.kv_cache_bytes, needs.buffers_bytes))
        layers = 'one layer' if listed.model.layers == 1 else f'{listed.model.layers} layers'
        print(f'{args.shape}: {layers} of {listed.model.hidden_size} take {total:.2f} GiB: '
              f'weights {weights:.2f}, KV cache of {positions} positions {cache:.2f}, buffers {buffers:.2f}')
        if not fits:
            print(f'it does not fit: {has / 2**30:.2f} GiB are available; nothing was measured')
    elif not fits:
        print(json.dumps({'shape': args.shape, 'fits': False, 'weights_bytes': needs.weights_bytes,
                          'kv_cache_bytes': needs.kv_cache_bytes, 'total_bytes': needs.total_bytes,
                          'memory_bytes': has}))
    return fits


def _numbers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(',')]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise InvalidParameterError(f"{option} takes positive whole numbers separated by commas, not '{text}'")
    return numbers
