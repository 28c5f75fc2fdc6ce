# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Load a model once and print the measurements as one line of JSON: `loading_run.py RUNTIME MODEL CONTEXT`.

RUNTIME: mapped, staged, early (does not wait for the verification), size (no verification), or a peer: llama-mmap,
llama-read, transformers. After loading, generates 32 tokens from a prompt of one token.
"""
from __future__ import annotations

import json
from pathlib import Path
import resource
import sys
from threading import Event, Thread
from time import perf_counter
from typing import Any

TOKENS = 32


def status(*names: str) -> dict[str, int]:
    """Return fields of /proc/self/status [bytes]."""
    lines = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
    return {name: int(lines[name].split()[0]) * 1024 for name in names}


class Watch:
    """Samples memory in a thread: (seconds, RssAnon, RssFile)."""

    def __init__(self) -> None:
        """Start sampling."""
        self.curve: list[tuple[float, int, int]] = []
        self._start, self._end = perf_counter(), Event()
        self._thread = Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._end.wait(0.02):
            now = status('RssAnon', 'RssFile')
            self.curve.append((perf_counter() - self._start, now['RssAnon'], now['RssFile']))

    def stop(self) -> None:
        """Stop sampling."""
        self._end.set()
        self._thread.join()


def faults() -> int:
    """Return the number of major page faults so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def tinychat(runtime: str, model: str, context: int, figures: dict[str, Any]) -> None:
    """Load with TinyChat."""
    from tinychat_core.engine import Engine

    engine = Engine.open(model, max_seq_len=context, early=runtime == 'early', staged=runtime == 'staged',
                         verify='size' if runtime == 'size' else 'full')
    figures['loaded_s'] = perf_counter() - START
    cache = engine.new_cache()
    token = int(engine.prefill(cache, [5]).argmax())
    figures['first_token_s'] = perf_counter() - START
    for index in range(TOKENS - 1):
        if index == TOKENS // 2:
            figures['major_faults_before_second_half'] = faults()
        token = int(engine.decode(cache, token).argmax())
    figures['kv_cache_used'] = engine.kv_cache_bytes * cache.length // context
    figures['weights'], figures['kv_cache'] = engine.weights_bytes, engine.kv_cache_bytes


def llama(runtime: str, model: str, context: int, figures: dict[str, Any]) -> None:
    """Load with llama.cpp."""
    import llama_cpp

    peer = llama_cpp.Llama(model, n_ctx=context, use_mmap=runtime == 'llama-mmap', n_threads=2, verbose=False)
    figures['loaded_s'] = perf_counter() - START
    for index, _ in enumerate(peer.generate([5], temp=0.0)):
        if index == 0:
            figures['first_token_s'] = perf_counter() - START
        if index == TOKENS // 2:
            figures['major_faults_before_second_half'] = faults()
        if index + 1 == TOKENS:
            break


def transformers(_: str, model: str, context: int, figures: dict[str, Any]) -> None:
    """Load with transformers, in bf16."""
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    peer = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    figures['loaded_s'] = perf_counter() - START
    cache, token = DynamicCache(), torch.tensor([[5]])
    with torch.inference_mode():
        for index in range(TOKENS):
            if index == TOKENS // 2:
                figures['major_faults_before_second_half'] = faults()
            token = peer(token, past_key_values=cache).logits[:, -1].argmax(-1, keepdim=True)
            if index == 0:
                figures['first_token_s'] = perf_counter() - START


START = perf_counter()

if __name__ == '__main__':
    kind, path, positions = sys.argv[1], sys.argv[2], int(sys.argv[3])
    found: dict[str, Any] = {'runtime': kind}
    watch = Watch()
    run = llama if kind.startswith('llama') else transformers if kind == 'transformers' else tinychat
    run(kind, path, positions, found)
    watch.stop()
    found['tokens_s'] = perf_counter() - START
    if 'major_faults_before_second_half' in found:
        found['major_faults_second_half'] = faults() - found.pop('major_faults_before_second_half')
    found |= status('RssAnon', 'RssFile', 'VmHWM')
    found['peak_anon'] = max(anon for _, anon, _ in watch.curve)
    found['curve'] = [(round(t, 3), anon, file) for t, anon, file in watch.curve]
    print(json.dumps(found))
