# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure other runtimes on a CUDA device: cuda_peers.py PEER BANDWIDTH, or cuda_peers.py transformers SHAPE….

Prints each result at once as a JSON line, so that the caller can stop this process at any time.
"""
from __future__ import annotations

from collections.abc import Callable
import json
from statistics import median
import sys
from typing import Any

SHAPES = ((12288, 4096), (4096, 4096), (22016, 4096), (4096, 11008), (11008, 4096), (35840, 6656), (6656, 17920))


def products(peer: str, bandwidth: float) -> None:
    """Print the matrix-vector products of a peer. `bandwidth` is that of a large copy [bytes/s]."""
    import torch

    make, format_, group = PEERS[peer]
    for rows, cols in SHAPES:
        nbytes = rows * cols // 2 + rows * cols // 32 if group else 2 * rows * cols
        copies = max(4, 4 * torch.cuda.get_device_properties(0).L2_cache_size // nbytes + 1)
        try:
            seconds = _time([make(rows, cols) for _ in range(copies)])
        except Exception as error:  # a peer that is not installed or does not support this device
            print(f'{peer} {rows} x {cols}: {type(error).__name__}: {str(error)[:200]}', file=sys.stderr)
            continue
        print(json.dumps({'by': peer, 'format': format_, 'group_size': group, 'rows': rows, 'cols': cols, 'tokens': 1,
                          'microseconds': 1e6 * seconds, 'gb_per_s': nbytes / seconds / 1e9,
                          'bandwidth_share': nbytes / seconds / bandwidth}), flush=True)
        torch.cuda.empty_cache()


def _time(products: list[Callable[[], Any]]) -> float:
    """Return the time per product [s] in a CUDA graph of all products, each with its own weights; median of 9 runs."""
    import torch

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for product in products:
            product()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for product in products:
                product()
        times = []
        for _ in range(10):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
    return float(median(times[1:])) * 1e-3 / len(products)


def _cublas(rows: int, cols: int) -> Callable[[], Any]:
    import torch

    weight = torch.randn(rows, cols, dtype=torch.float16, device='cuda')
    x = torch.randn(1, cols, dtype=torch.float16, device='cuda')
    return lambda: torch.nn.functional.linear(x, weight)


def _int4pack(rows: int, cols: int) -> Callable[[], Any]:
    import torch

    packed = torch.randint(0, 256, (rows, cols // 2), dtype=torch.uint8, device='cuda')
    weight = torch.ops.aten._convert_weight_to_int4pack(packed, 8)
    scales = torch.rand(cols // 128, rows, 2, dtype=torch.bfloat16, device='cuda')
    x = torch.randn(1, cols, dtype=torch.bfloat16, device='cuda')
    return lambda: torch.ops.aten._weight_int4pack_mm(x, weight, 128, scales)


def _gemlite(rows: int, cols: int) -> Callable[[], Any]:
    from gemlite.core import DType, GemLiteLinear
    import torch

    layer = GemLiteLinear(4, group_size=128, in_features=cols, out_features=rows, input_dtype=DType.FP16,
                          output_dtype=DType.FP16)
    groups = rows * cols // 128
    layer.pack(torch.randint(0, 16, (rows, cols), dtype=torch.uint8, device='cuda'),
               torch.rand(groups, 1, dtype=torch.float16, device='cuda'),
               torch.full((groups, 1), 8, dtype=torch.float16, device='cuda'))
    x = torch.randn(1, cols, dtype=torch.float16, device='cuda')
    return lambda: layer(x)


PEERS: dict[str, tuple[Callable[[int, int], Callable[[], Any]], str, int]] = {
    'cuBLAS': (_cublas, 'f16', 0), 'torch int4pack': (_int4pack, 'w4', 128), 'gemlite': (_gemlite, 'w4', 128)}


def transformers_models(names: list[str]) -> None:
    """Print the results of each shape."""
    import torch

    for name in names:
        try:
            print(json.dumps({'model': name, **transformers_model(name)}), flush=True)
        except Exception as error:  # for example out of memory
            print(f'transformers {name}: {type(error).__name__}: {str(error)[:200]}', file=sys.stderr)
        torch.cuda.empty_cache()


def transformers_model(name: str, context: int = 4, new_tokens: int = 30, prompt: int = 512) -> dict[str, float]:
    """Return milliseconds per token and per prompt of transformers in FP16, with random weights."""
    import torch
    import transformers

    from tinychat_core.bench.shapes import config

    def milliseconds(ids: Any, cache: Any) -> tuple[float, Any]:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        out = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)), out

    values = dict(config(name))
    configuration = transformers.AutoConfig.for_model(values.pop('model_type'), **values)
    torch.set_default_dtype(torch.float16)
    with torch.device('cuda'), torch.inference_mode():
        model = transformers.AutoModelForCausalLM.from_config(configuration).eval()
        times, cache, ids = [], None, torch.ones(1, context, dtype=torch.long)
        for _ in range(new_tokens + 1):
            time, out = milliseconds(ids, cache)
            cache, ids = out.past_key_values, out.logits[:, -1:].argmax(-1)
            times.append(time)
        ids = torch.ones(1, prompt, dtype=torch.long)
        prompts = [milliseconds(ids, None)[0] for _ in range(6)]
    return {'transformers_ms': median(times[1:]), 'transformers_prefill_ms': median(prompts[1:])}


if __name__ == '__main__':
    if sys.argv[1] == 'transformers':
        transformers_models(sys.argv[2:])
    else:
        products(sys.argv[1], float(sys.argv[2]))
