# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Measures prefill and decode speed, and compares decoding with the memory bandwidth of the same run."""
from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
import resource
from statistics import median
from time import perf_counter

from tinychat_core import _tinychat
from tinychat_core.cuda import library
from tinychat_core.engine import Engine

# Much larger than any cache; a second copy of a large model would not fit into memory.
_MOST_READ = 1 << 30


@dataclass(frozen=True)
class Latency:
    """Medians of one setting, under the names of `tinychat bench --json`."""

    context: int                     # tokens of the prompt
    threads: int
    precision: str
    isa: str
    decode_tokens_per_s: float
    prefill_tokens_per_s: float
    time_to_first_token_ms: float    # prefill and greedy choice, without tokenizing
    packed_mb: float                 # weights read per token
    read_gb_per_s: float             # weights and cache read while decoding
    bandwidth_share: float           # of reading an equally large buffer with all threads; CUDA: of a large copy
    peak_rss_mb: float               # of the process, including mapped weights
    peak_anon_mb: float              # of the process, without file pages

    def as_json(self) -> dict[str, object]:
        """Return the figures for `--json`, rounded."""
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()}


def measure(engine: Engine, context: int, new_tokens: int, rounds: int = 3) -> Latency:
    """Measure `rounds` prompts of `context` tokens, each followed by `new_tokens` greedy tokens, and the memory."""
    cache = engine.new_cache()
    prompt = [(7 * i + 1) % engine.vocab_size for i in range(context)]
    sampler = _tinychat.Sampler(0)
    engine.sample(cache, prompt[:8], sampler)
    prefills: list[float] = []
    steps: list[float] = []
    for _ in range(rounds):
        cache.truncate(0)
        start = perf_counter()
        engine.sample(cache, prompt, sampler)
        prefills.append(perf_counter() - start)
        for i in range(new_tokens):
            start = perf_counter()
            engine.sample(cache, [i % engine.vocab_size], sampler)
            steps.append(perf_counter() - start)
    step, prefill = median(steps), median(prefills)
    cached = engine.kv_cache_bytes * (context + new_tokens / 2) / engine.context_length
    bytes_per_token = engine.token_bytes + cached
    if engine.backend == 'cuda':
        bandwidth = _tinychat.cuda_copy_bandwidth(str(library()))
    else:
        bandwidth = _tinychat.read_bandwidth(min(int(bytes_per_token), _MOST_READ), engine.threads)
    return Latency(
        context=context, threads=engine.threads, precision=engine.precision, isa=engine.isa,
        decode_tokens_per_s=1 / step, prefill_tokens_per_s=context / prefill, time_to_first_token_ms=1e3 * prefill,
        packed_mb=engine.token_bytes / 1e6, read_gb_per_s=bytes_per_token / step / 1e9,
        bandwidth_share=bytes_per_token / step / bandwidth,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, peak_anon_mb=_anonymous_mb())


def profile(engine: Engine, context: int, new_tokens: int) -> list[tuple[str, float, float]]:
    """Return (fused step, microseconds per token, share) while decoding after `context` tokens."""
    cache = engine.new_cache()
    engine.prefill(cache, [i % engine.vocab_size for i in range(context)])
    before = engine.step_seconds()
    sampler = _tinychat.Sampler(0)
    for i in range(new_tokens):
        engine.sample(cache, [i % engine.vocab_size], sampler)
    spent = {step: seconds - before[step] for step, seconds in engine.step_seconds().items()}
    total = sum(spent.values())
    return [(step, 1e6 * seconds / new_tokens, seconds / total) for step, seconds in spent.items()]


def _anonymous_mb() -> float:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('RssAnon:'):
            return int(line.split()[1]) / 1e3
    return 0.0
