# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory a model needs, computed before its weights are read, and what would make it fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import EMBEDDING_CACHE_BYTES, VisionConfig
from tinychat_core.errors import DoesNotFitError, InvalidParameterError
from tinychat_core.precision import choose_precision

KV_CACHES = ('auto', 'int8')  # auto: 16 bits, or fp32 where the precision promises the results of fp32 on the CPU
KEY_GROUP = 32                # channels of an int8 key that share a scale: kKeyGroup in csrc
# Tokens of one prompt in a forward pass, and of sequences that decode in the same pass: kMaxSequenceTokens and
# kDecodeTokens in csrc. On the CPU the buffers of the latter grow when they are needed.
PIECE_TOKENS = {'cpu': 256, 'cuda': 512}
_PASS_TOKENS = {'cpu': PIECE_TOKENS['cpu'], 'cuda': PIECE_TOKENS['cuda'] + 32}
MAX_PARALLEL = 32             # sequences that decode in one forward pass: kDecodeTokens in csrc
AUTO_PARALLEL = 4             # the default, if they fit into memory
_CUDA_LOGIT_TOKENS = 16       # tokens whose logits the CUDA backend computes at a time: its kLogitRows
_SHORTEST = 128               # positions; a context that nobody asked for is not cut below this


@dataclass(frozen=True)
class Request:
    """
    The settings of an engine that decide how much memory it needs.

    `precision` None is the engine's default for the weights; `caches`: KV caches in use at the same time; `backend`:
    cpu or cuda.
    """

    precision: str | None = None
    kv_cache: str = 'auto'
    caches: int = 1
    backend: str = 'cpu'


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by use; `kv_cache_bytes` is for all `caches`, each with `max_seq_len` positions."""

    max_seq_len: int
    weights_bytes: int
    kv_cache_bytes: int
    buffers_bytes: int
    caches: int = 1

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole model."""
        return self.weights_bytes + self.kv_cache_bytes + self.buffers_bytes

    def __str__(self) -> str:
        """Return one line for the log."""
        caches = 'KV cache' if self.caches == 1 else f'{self.caches} KV caches'
        return (f'weights {_mib(self.weights_bytes)}, {caches} {_mib(self.kv_cache_bytes)} for {self.max_seq_len} '
                f'positions, buffers {_mib(self.buffers_bytes)}: {_mib(self.total_bytes)}')


def plan(manifest: Manifest, max_seq_len: int | None = None, request: Request = Request()) -> MemoryPlan:
    """
    Return the plan; `max_seq_len` None is the model's context length.

    Raises InvalidParameterError for a longer context, a precision that the weights do not have or an unknown cache
    type.
    """
    limit = manifest.model.context_length
    if max_seq_len is not None and not 1 <= max_seq_len <= limit:
        raise InvalidParameterError(f"max_seq_len must be 1 .. {limit} (the model's context length), "
                                    f'not {max_seq_len}')
    positions = max_seq_len or limit
    position = position_bytes(manifest.model, _requested_cache_type(manifest, request))
    return MemoryPlan(positions, manifest.weights_bytes, request.caches * positions * position,
                      _buffers_bytes(manifest, request.backend, positions), request.caches)


def largest_context(manifest: Manifest, memory: int, request: Request = Request()) -> int:
    """Return how many positions fit into `memory` bytes with the weights, up to the model's context length."""
    position = request.caches * position_bytes(manifest.model, _requested_cache_type(manifest, request))

    def fitting(buffers: int) -> int:
        return max(0, min((memory - manifest.weights_bytes - buffers) // position, manifest.model.context_length))

    limit = manifest.model.context_length
    if manifest.vision is None or manifest.vision.pixels.method != 'native':
        return fitting(_buffers_bytes(manifest, request.backend, limit))
    fewest, most = 0, limit  # an image of native size is at most as large as the context
    while fewest < most:
        middle = (fewest + most + 1) // 2
        if fitting(_buffers_bytes(manifest, request.backend, middle)) >= middle:
            fewest = middle
        else:
            most = middle - 1
    return fewest


def fitting_plan(manifest: Manifest, memory: int, max_seq_len: int = 0, request: Request = Request()) -> MemoryPlan:
    """
    Return the plan for `max_seq_len` positions (0: as many as fit) if it fits into `memory` bytes.

    Raises DoesNotFitError, whose message says what would make it fit, and the errors of `plan`.
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


def fitting_parallel(manifest: Manifest, memory: int, max_seq_len: int = 0, request: Request = Request()) -> int:
    """
    Return how many sequences to compute at the same time, each with a KV cache of `max_seq_len` positions.

    AUTO_PARALLEL, or 2, if their caches fit into `memory` bytes without a shorter context than asked for (0: the
    model's); otherwise 2 if `request` has at least 2 caches.
    """
    for parallel in (AUTO_PARALLEL, 2):
        more = replace(request, caches=max(request.caches, parallel))
        if plan(manifest, max_seq_len or None, more).total_bytes <= memory:
            return parallel
    return min(2, request.caches)


def advice(manifest: Manifest, memory: int, max_seq_len: int, request: Request = Request()) -> str:
    """Return what would make the model fit, as the end of a sentence; each remedy suffices by itself."""
    def fits(other: Request, checkpoint: Manifest = manifest) -> bool:
        return plan(checkpoint, max_seq_len, other).total_bytes <= memory

    remedies = []
    largest = largest_context(manifest, memory, request)
    if largest:
        remedies.append(f'max_seq_len {largest}')
    if request.caches > 1 and fits(replace(request, caches=1)):
        remedies.append('one KV cache (kv_caches 1, parallel 1)')
    if request.kv_cache == 'auto' and fits(replace(request, kv_cache='int8')):
        remedies.append('kv_cache int8')
    first, _ = choose_precision(None, manifest.weights, request.backend)
    if request.backend == 'cpu' and request.precision not in (None, first) and fits(replace(request, precision=first)):
        remedies.append(f'precision {first}')
    smaller = _in_four_bits(manifest)
    if smaller.weights_bytes < manifest.weights_bytes * 0.97 and fits(replace(request, precision=None), smaller):
        remedies.append('weights of 4 bits in groups of 128')
    return f'it would fit with {" or ".join(remedies)}' if remedies else 'use a smaller model'


def position_bytes(model: ModelConfig, cache_type: str) -> int:
    """Return the bytes of one position's keys and values in all layers; `cache_type`: fp32, bf16, fp16 or int8."""
    dim = model.head_dim
    scales = 2 * (-(-dim // KEY_GROUP) + 1)
    head = {'fp32': 8 * dim, 'bf16': 4 * dim, 'fp16': 4 * dim, 'int8': 2 * dim + scales}
    return model.layers * model.kv_heads * head[cache_type]


def _requested_cache_type(manifest: Manifest, request: Request) -> str:
    _, activations = choose_precision(request.precision, manifest.weights, request.backend)
    return kv_cache_type(request.kv_cache, activations == 'float', request.backend)


def kv_cache_type(kv_cache: str, float_activations: bool, backend: str) -> str:
    """Return the element type of a KV cache: fp32, bf16, fp16 or int8. InvalidParameterError for an unknown option."""
    if kv_cache not in KV_CACHES:
        raise InvalidParameterError(f"unknown kv_cache '{kv_cache}'; use {' or '.join(KV_CACHES)}")
    if kv_cache == 'int8':
        return 'int8'
    if backend != 'cpu':
        return 'fp16'
    return 'fp32' if float_activations else 'bf16'


def _in_four_bits(manifest: Manifest) -> Manifest:
    """Return the manifest that the checkpoint would have with 4-bit decoder layers in groups of 128."""
    def smaller(entry: TensorEntry) -> TensorEntry:
        fits = entry.format != 'f32' and entry.cols % 128 == 0
        return replace(entry, format='w4z', group_size=128, layout='r16k4') if fits else entry

    return replace(manifest, weights='W4', tensors={
        name: smaller(entry) if name.startswith('layers.') else entry for name, entry in manifest.tensors.items()})


def _buffers_bytes(manifest: Manifest, backend: str, positions: int) -> int:
    """Return the bytes of one forward pass's activations, fp32 (CUDA: some in 16 bits), and of the logits."""
    encoder = sum(entry.nbytes for name, entry in manifest.tensors.items() if name.startswith('vision.'))
    # On CUDA each stage copies its weights, in addition to the copy of the whole files.
    copies = encoder if backend == 'cuda' else 0
    return copies + _vision_bytes(manifest.vision, backend, positions) + _model_buffers_bytes(manifest, backend)


def _vision_bytes(vision: VisionConfig | None, backend: str, positions: int) -> int:
    """
    Return the bytes of the buffers of each stage, and of the embeddings that are kept.

    They depend on a tile, or on the largest image that fits into a context of `positions`.
    """
    if vision is None:
        return 0
    patches = vision.longest_sequence(positions)
    total = EMBEDDING_CACHE_BYTES
    if vision.pixels.method == 'native':  # its pixels, in order and reordered, what the encoder returns, embeddings
        total += 4 * patches * (2 * vision.patch_width + 2 * vision.encoder.vocab_size)
        total += 4 * patches // vision.merge ** 2 * 2 * vision.width
    for name, stage in vision.stages.items():
        # Other stages compute a limited number of rows at a time (VisionEncoder).
        is_whole = stage.layers > 0 or (name == 'stem' and vision.pixels.method != 'native')
        tokens = max(patches if is_whole else 0, _PASS_TOKENS[backend])
        attention = stage.attention_width + 2 * stage.kv_width
        keys = 2 * stage.kv_width if stage.layers else 0  # of one layer at a time
        total += 4 * tokens * (2 * stage.hidden_size + 2 * stage.embedding_width + attention + stage.attention_width +
                               keys + stage.intermediate_size)
    return total


def _model_buffers_bytes(manifest: Manifest, backend: str) -> int:
    model = manifest.model
    hidden, inner = max(model.hidden_size, model.embedding_width), model.intermediate_size
    attention = model.attention_width
    qkv = attention + 2 * model.kv_width
    if backend == 'cpu':
        token, logits = 4 * (3 * hidden + qkv + attention + 3 * inner), model.vocab_size
    else:
        token, logits = 10 * hidden + 4 * qkv + 2 * attention + 2 * inner, _CUDA_LOGIT_TOKENS * model.vocab_size
    orders = [entry.cols for name, entry in manifest.tensors.items() if name.endswith('.input_order')]
    widest = max(hidden, inner, attention)
    if orders:  # the input is permuted into a matrix's own order
        token += (4 if backend == 'cpu' else 2) * widest
    in_parts = any(name.endswith(('.qkv.0', '.gate_up.0')) for name in manifest.tensors)
    # Gate and up, or q, k and v, each have their own format or order.
    if in_parts or any(cols > 1 + widest for cols in orders):
        token += 4 * inner if backend == 'cpu' else 4 * max(qkv, 2 * inner)
    return _PASS_TOKENS[backend] * token + 4 * logits


def _mib(count: int) -> str:
    return f'{count / 2**20:,.0f} MiB'
