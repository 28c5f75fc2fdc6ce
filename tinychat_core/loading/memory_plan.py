# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a model will take, known before anything of it is read, and what would make it fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.errors import DoesNotFitError, InvalidParameterError
from tinychat_core.precision import choose_precision

KV_CACHES = ('auto', 'int8')  # auto: 16 bits, but fp32 where the CPU promises what fp32 gives
KEY_GROUP = 32                # channels of a key that share a scale, in int8
_PASS_ROWS = {'cpu': 256, 'cuda': 512}  # tokens whose activations a backend keeps: its kMaxRows
_CUDA_LOGIT_ROWS = 16         # tokens whose logits the CUDA backend keeps: its kLogitRows
_SHORTEST = 128               # a context that was not asked for is at least so long


@dataclass(frozen=True)
class Request:
    """
    What is asked of an engine, as far as it decides its memory.

    `precision` None is what the engine takes for the weights; `caches`: KV caches that will be used at once;
    `backend`: cpu or cuda.
    """

    precision: str | None = None
    kv_cache: str = 'auto'
    caches: int = 1
    backend: str = 'cpu'


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of each part; `kv_cache_bytes` of all `caches`, of which each has `max_seq_len` positions."""

    max_seq_len: int
    weights_bytes: int
    kv_cache_bytes: int
    buffers_bytes: int
    caches: int = 1

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.kv_cache_bytes + self.buffers_bytes

    def __str__(self) -> str:
        """Return it as one line for a log."""
        caches = 'KV cache' if self.caches == 1 else f'{self.caches} KV caches'
        return (f'weights {_mib(self.weights_bytes)}, {caches} {_mib(self.kv_cache_bytes)} for {self.max_seq_len} '
                f'positions, buffers {_mib(self.buffers_bytes)}: {_mib(self.total_bytes)}')


def plan(manifest: Manifest, max_seq_len: int | None = None, request: Request = Request()) -> MemoryPlan:
    """
    Return the plan; `max_seq_len` None is the model's context.

    Raises InvalidParameterError for more than the context, or what the weights or the cache do not have.
    """
    limit: int = manifest.model['context_length']
    if max_seq_len is not None and not 1 <= max_seq_len <= limit:
        raise InvalidParameterError(f"max_seq_len must be 1 .. {limit} (the model's context length), "
                                    f'not {max_seq_len}')
    positions = max_seq_len or limit
    return MemoryPlan(positions, manifest.weights_bytes,
                      request.caches * positions * position_bytes(manifest.model, _numbers(manifest, request)),
                      _buffers_bytes(manifest, request.backend), request.caches)


def largest_context(manifest: Manifest, memory: int, request: Request = Request()) -> int:
    """Return the positions that `memory` bytes have room for beside the weights, within the context."""
    left = memory - manifest.weights_bytes - _buffers_bytes(manifest, request.backend)
    position = request.caches * position_bytes(manifest.model, _numbers(manifest, request))
    return int(max(0, min(left // position, manifest.model['context_length'])))


def fitting_plan(manifest: Manifest, memory: int, max_seq_len: int = 0, request: Request = Request()) -> MemoryPlan:
    """
    Return the plan for `max_seq_len` positions, 0: for as many as fit, where `memory` bytes are enough for it.

    Raises DoesNotFitError, whose one line says what would make it fit, and as `plan`.
    """
    needs = plan(manifest, max_seq_len or None, request)
    if not max_seq_len:
        largest = largest_context(manifest, memory, request)
        if largest >= min(_SHORTEST, needs.max_seq_len):
            return plan(manifest, largest, request)
        needs = plan(manifest, min(_SHORTEST, needs.max_seq_len), request)
    if needs.total_bytes <= memory:
        return needs
    raise DoesNotFitError(f'the model needs {_mib(needs.total_bytes)} for a context of {needs.max_seq_len} and '
                          f'{_mib(memory)} may be used; {advice(manifest, memory, needs.max_seq_len, request)}')


def advice(manifest: Manifest, memory: int, max_seq_len: int, request: Request = Request()) -> str:
    """Return what would make it fit, as the end of a sentence; each remedy is enough by itself."""
    def fits(other: Request, checkpoint: Manifest = manifest) -> bool:
        return plan(checkpoint, max_seq_len, other).total_bytes <= memory

    remedies = []
    largest = largest_context(manifest, memory, request)
    if largest:
        remedies.append(f'max_seq_len {largest}')
    if request.caches > 1 and fits(replace(request, caches=1)):
        remedies.append('one KV cache')
    if request.kv_cache == 'auto' and fits(replace(request, kv_cache='int8')):
        remedies.append('kv_cache int8')
    first, _ = choose_precision(None, manifest.weights, request.backend)
    if request.backend == 'cpu' and request.precision not in (None, first) and fits(replace(request, precision=first)):
        remedies.append(f'precision {first}')
    smaller = _in_four_bits(manifest)
    if smaller.weights_bytes < manifest.weights_bytes * 0.97 and fits(replace(request, precision=None), smaller):
        remedies.append('weights of 4 bits in groups of 128')
    return f'it would fit with {" or ".join(remedies)}' if remedies else 'use a smaller model'


def position_bytes(model: Mapping[str, Any], numbers: str) -> int:
    """Return the bytes of keys and values of a position in all layers, as fp32, bf16, fp16 or int8 with its scales."""
    dim: int = model['head_dim']
    scales = 2 * (-(-dim // KEY_GROUP) + 1)
    head = {'fp32': 8 * dim, 'bf16': 4 * dim, 'fp16': 4 * dim, 'int8': 2 * dim + scales}
    return int(model['layers'] * model['kv_heads'] * head[numbers])


def _numbers(manifest: Manifest, request: Request) -> str:
    """Return what the cache holds."""
    _, activations = choose_precision(request.precision, manifest.weights, request.backend)
    return cache_numbers(request.kv_cache, activations == 'float', request.backend)


def cache_numbers(kv_cache: str, float_activations: bool, backend: str) -> str:
    """Return fp32, bf16, fp16 or int8: what a KV cache holds. InvalidParameterError for one that there is not."""
    if kv_cache not in KV_CACHES:
        raise InvalidParameterError(f"there is no kv_cache '{kv_cache}'; use {' or '.join(KV_CACHES)}")
    if kv_cache == 'int8':
        return 'int8'
    if backend != 'cpu':
        return 'fp16'
    return 'fp32' if float_activations else 'bf16'


def _in_four_bits(manifest: Manifest) -> Manifest:
    """Return what the checkpoint would be with the decoder layers' weights in 4 bits, in large groups."""
    def smaller(entry: TensorEntry) -> TensorEntry:
        fits = entry.format != 'f32' and entry.cols % 128 == 0
        return replace(entry, format='w4z', group_size=128, layout='r16k4') if fits else entry

    return replace(manifest, weights='W4', tensors={
        name: smaller(entry) if name.startswith('layers.') else entry for name, entry in manifest.tensors.items()})


def _buffers_bytes(manifest: Manifest, backend: str) -> int:
    """Return the bytes of the activations of a chunk of a prompt, fp32 (CUDA: some in 16 bits), and of the logits."""
    model = manifest.model
    hidden, inner = max(model['hidden_size'], model.get('embedding_size', 0)), model['intermediate_size']
    attention = model['heads'] * model['head_dim']
    qkv = attention + 2 * model['kv_heads'] * model['head_dim']
    if backend == 'cpu':
        row, logits = 4 * (3 * hidden + qkv + attention + 3 * inner), model['vocab_size']
    else:
        row, logits = 10 * hidden + 4 * qkv + 2 * attention + 2 * inner, _CUDA_LOGIT_ROWS * model['vocab_size']
    orders = [entry.cols for name, entry in manifest.tensors.items() if name.endswith('.input_order')]
    widest = max(hidden, inner, attention)
    if orders:  # an input is put into a matrix's own order
        row += (4 if backend == 'cpu' else 2) * widest
    if any(cols > 1 + widest for cols in orders):  # gate and up, or q, k and v, each in an order of its own
        row += 4 * inner if backend == 'cpu' else 4 * max(qkv, 2 * inner)
    return int(_PASS_ROWS[backend] * row + 4 * logits)


def _mib(count: int) -> str:
    return f'{count / 2**20:,.0f} MiB'
