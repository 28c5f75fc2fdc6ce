# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare TinyChat with its peers: the same weights, prompts and threads, in turn in one run.

    .venv/bin/python benchmarks/peers.py                     SmolLM2-135M-Instruct, after `make demo`
    .venv/bin/python benchmarks/peers.py --shape llama-2-7b  random weights (4 GB; TinyChat and llama.cpp)
    .venv/bin/python benchmarks/peers.py --parallel 4        four answers together; TinyChat and OpenVINO GenAI
    .venv/bin/python benchmarks/peers.py --gguf FILE         any model (TinyChat and llama.cpp)

`--llama-bench 'PROGRAM -rtr 1'` measures one more peer of GGUF files: a llama-bench that you have built, for example
that of ik_llama.cpp.

The first run installs the peers (llama-cpp-python, OpenVINO GenAI, transformers) into build/peers/venv and compiles
llama.cpp there. Each program runs in its own process, `--rounds` times in turn. The table shows medians and the ratio
to the best peer in the same column.
"""
from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import platform
import shlex
import shutil
from statistics import median
import subprocess
import sys
from typing import Any

from random_gguf import write_random_gguf

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / 'build' / 'peers'
PYTHON = WORK / 'venv' / 'bin' / 'python'
TINYCHAT = ROOT / '.venv' / 'bin' / 'tinychat'
GGUF = ROOT / 'models' / 'SmolLM2-135M-Instruct.Q4_1.gguf'
LLAMA_CPP = 'llama-cpp-python==0.3.36'
WHEELS = (LLAMA_CPP, 'openvino-genai==2026.4.1.0', 'transformers==5.23.0', 'torch==2.13.0',
          'accelerate', 'gguf')
# Instruction sets that all AVX-512 machines have. llama.cpp's own choice (GGML_NATIVE) crashes on CPUs with AMX.
FEATURES = ('AVX512', 'AVX512_VBMI', 'AVX512_VNNI', 'AVX512_BF16', 'AVX2', 'FMA', 'F16C')


def main() -> None:
    """Measure all programs in turn, print the tables and save the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--shape', choices=('llama-2-7b',), help='random weights instead of SmolLM2')
    parser.add_argument('--gguf', type=Path, metavar='FILE', help='another GGUF file instead of SmolLM2')
    parser.add_argument('--llama-bench', metavar='COMMAND', help='a llama-bench with its options, as one more peer')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--threads', default='2,1')
    parser.add_argument('--prompt', type=int, help='tokens of the prefill (default: 512, with --shape: 128)')
    parser.add_argument('--new-tokens', type=int, help='tokens to decode (default: 100, with --shape: 16)')
    parser.add_argument('--parallel', type=int, metavar='N', help='instead: the speed of N answers together')
    parser.add_argument('--json', metavar='FILE', help='write the results to this file')
    args = parser.parse_args()
    prompt, new_tokens = args.prompt or (128 if args.shape else 512), args.new_tokens or (16 if args.shape else 100)
    install()
    if args.parallel:
        measure_parallel(args.parallel, args.rounds, args.threads, prompt, new_tokens)
        return
    programs = (shape_programs(args.shape) if args.shape else gguf_programs(args.gguf.absolute()) if args.gguf
                else smollm2_programs())
    if args.llama_bench:
        gguf = next(model for program, model in programs.values() if program == 'llama.cpp')
        programs['llama-bench'] = (f'llama-bench {args.llama_bench}', gguf)
    results = []
    for threads in map(int, args.threads.split(',')):
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
        for number in range(args.rounds):
            for name, (program, model) in programs.items():
                print(f'\r\033[K{threads} threads, round {number + 1}: {name}', end='', file=sys.stderr, flush=True)
                rounds[name].append(run(program, model, threads, prompt, new_tokens))
        print('\r\033[K', end='', file=sys.stderr)
        rows = [{'program': name, 'threads': threads, 'prompt': prompt,
                 **{key: median(figures[key] for figures in runs) for key in ('decode', 'prefill')}}
                for name, runs in rounds.items()]
        results += rows
        print_table(rows, prompt)
    if args.json:
        Path(args.json).write_text(json.dumps({'cpu': cpu_name(), 'rows': results}, indent=1) + '\n')


def measure_parallel(parallel: int, rounds: int, threads: str, prompt: int, new_tokens: int) -> None:
    """Measure answers that are decoded together, in turn, and print the medians."""
    q40 = q40_file()
    for count in map(int, threads.split(',')):
        ours: dict[int, list[float]] = {1: [], parallel: []}
        theirs: dict[int, list[float]] = {1: [], parallel: []}
        for _ in range(rounds):
            for n in ours:
                lines = output_of([TINYCHAT, 'bench', imported(q40), '--json', '--threads', str(count), '--context',
                                   str(prompt), '--new-tokens', str(new_tokens), '--parallel', str(n)], count)
                ours[n].append(lines[-1]['tokens_per_s'])
                lines = output_of([PYTHON, ROOT / 'benchmarks' / 'peer.py', 'openvino-parallel', q40, str(count),
                                   str(prompt), str(new_tokens), str(n)], count)
                theirs[n].append(lines[-1]['parallel'])
        print(f'\n| {count} threads, {cpu_name()}, after {prompt} tokens | 1 answer, tok/s | {parallel} together, '
              f'tok/s in all | of one |\n|---|---|---|---|')
        for name, speeds in (('TinyChat W4', ours), ('OpenVINO GenAI, ContinuousBatchingPipeline', theirs)):
            one, together = median(speeds[1]), median(speeds[parallel])
            print(f'| {name} (Q4_0 weights) | {one:.1f} | {together:.1f} | {together / one:.2f}× |')
        ratio = median(ours[parallel]) / median(theirs[parallel])
        print(f'{parallel} together: TinyChat is {ratio:.2f} times as fast', flush=True)


def install() -> None:
    """Create the peers' environment if it does not exist or lacks mtmd, llama.cpp's library for images."""
    if any(WORK.glob('venv/lib/*/site-packages/llama_cpp/lib/libmtmd.*')):
        return
    WORK.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, '-m', 'venv', WORK / 'venv'], check=True)
    flags = Path('/proc/cpuinfo').read_text()
    native = ['-DGGML_NATIVE=ON']
    if 'avx512_bf16' in flags:
        native = ['-DGGML_NATIVE=OFF', *(f'-DGGML_{feature}=ON' for feature in FEATURES)]
    pip = [PYTHON, '-m', 'pip', 'install']
    # pip caches the wheel that it builds, whatever the options: one without mtmd must not come from there.
    build = [*pip, '--no-cache-dir', '--force-reinstall', '--no-deps', LLAMA_CPP]
    try:
        subprocess.run(build, env=dict(os.environ, CMAKE_ARGS=' '.join(native)), check=True)
        subprocess.run([*pip, *WHEELS], check=True)
    except BaseException:
        shutil.rmtree(WORK / 'venv')  # an incomplete environment must not be used by the next run
        raise


def q40_file() -> Path:
    """Return the model in Q4_0. Make it if necessary."""
    if not GGUF.exists():
        raise SystemExit('run `make demo` first: it downloads the model')
    q40 = WORK / 'smollm2-q4_0.gguf'
    if not q40.exists():
        subprocess.run([PYTHON, ROOT / 'benchmarks' / 'peer.py', 'requantize', GGUF, q40], check=True)
    return q40


def smollm2_programs() -> dict[str, tuple[str, Path]]:
    """Return name -> (program, model): the Q4_1 file as published, and Q4_0 (llama.cpp's fastest) made from it."""
    q40 = q40_file()
    floats = WORK / 'smollm2-float'
    if not floats.exists():
        subprocess.run([PYTHON, ROOT / 'benchmarks' / 'peer.py', 'dequantize', GGUF, floats], check=True)
    return {'TinyChat W4 (Q4_1 weights)': ('tinychat W4', imported(GGUF)),
            'TinyChat W4 (Q4_0 weights)': ('tinychat W4', imported(q40)),
            'TinyChat W4A8 (Q4_0 weights)': ('tinychat W4A8', imported(q40)),
            'llama.cpp Q4_0': ('llama.cpp', q40), 'llama.cpp Q4_1': ('llama.cpp', GGUF),
            'OpenVINO GenAI Q4_0': ('openvino', q40),
            'transformers fp32': ('transformers-float32', floats),
            'transformers bf16': ('transformers-bfloat16', floats)}


def shape_programs(shape: str) -> dict[str, tuple[str, Path]]:
    """Return name -> (program, model) for random weights of a known shape."""
    gguf = WORK / f'{shape}-q4_0.gguf'
    if not gguf.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        write_random_gguf(gguf)
    return {'TinyChat W4 g128': ('tinychat W4', Path(shape)), 'TinyChat W4A8 g128': ('tinychat W4A8', Path(shape)),
            'llama.cpp Q4_0': ('llama.cpp', gguf)}


def gguf_programs(gguf: Path) -> dict[str, tuple[str, Path]]:
    """Return name -> (program, model) for a GGUF file."""
    return {'TinyChat': ('tinychat', imported(gguf)), 'llama.cpp': ('llama.cpp', gguf)}


def imported(gguf: Path) -> Path:
    """Return the split checkpoint of a GGUF file. Import it if necessary."""
    directory = WORK / gguf.stem.lower()
    if not directory.exists():
        subprocess.run([TINYCHAT, 'import', gguf, directory], check=True, stdout=subprocess.DEVNULL)
    return directory


def run(program: str, model: Path, threads: int, prompt: int, new_tokens: int) -> dict[str, float]:
    """Run one process and return its decode and prefill speed [tokens/s]."""
    command: list[Any]
    program, _, options = program.partition(' ')
    if program == 'llama-bench':
        command = [*shlex.split(options), '-m', model, '-t', str(threads), '-p', str(prompt), '-n', str(new_tokens),
                   '-r', '1', '-o', 'json']
        tests = json.loads(stdout_of(command, threads))
        return {'prefill': next(test['avg_ts'] for test in tests if test['n_prompt']),
                'decode': next(test['avg_ts'] for test in tests if test['n_gen'])}
    if program == 'tinychat':
        source = [str(model)] if model.is_absolute() else ['--shape', str(model)]
        chosen = ['--precision', options] if options else []
        command = [TINYCHAT, 'bench', *source, '--json', '--threads', str(threads), *chosen,
                   '--context', f'4,{prompt}', '--new-tokens', str(new_tokens)]
    else:
        command = [PYTHON, ROOT / 'benchmarks' / 'peer.py', program, model, str(threads), str(prompt), str(new_tokens)]
    lines = output_of(command, threads)
    if program == 'tinychat':
        return {'decode': lines[0]['decode_tokens_per_s'], 'prefill': lines[1]['prefill_tokens_per_s']}
    figures: dict[str, float] = lines[-1]
    return figures


def output_of(command: list[Any], threads: int) -> list[dict[str, Any]]:
    """Run a process, and return the lines of JSON that it prints."""
    return [json.loads(line) for line in stdout_of(command, threads).splitlines() if line.startswith('{')]


def stdout_of(command: list[Any], threads: int) -> str:
    """Run a process, and return what it prints."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM='false')
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(f'{command}: {process.stderr[-2000:]}')
    return process.stdout


def print_table(rows: list[dict[str, Any]], prompt: int) -> None:
    """Print the medians, each with its ratio to the best peer."""
    peers = [row for row in rows if not row['program'].startswith('TinyChat')]
    best = {key: max(row[key] for row in peers) for key in ('decode', 'prefill')}
    print(f'\n| {rows[0]["threads"]} threads, {cpu_name()} | decode tok/s | of the best peer '
          f'| prefill {prompt} tok/s | of the best peer |')
    print('|---|---|---|---|---|')
    for row in rows:
        print(f'| {row["program"]} | {row["decode"]:.1f} | {row["decode"] / best["decode"]:.2f}× '
              f'| {row["prefill"]:.0f} | {row["prefill"] / best["prefill"]:.2f}× |')


def cpu_name() -> str:
    """Return the processor's name from /proc/cpuinfo."""
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()


if __name__ == '__main__':
    main()
