# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A LLaMA in plain numpy, in float64, with any mask and any positions: the reference of the decoder."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.bench import shapes
from tinychat_core.checkpoint.formats import FORMATS
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import Manifest

Array = npt.NDArray[Any]


def random_tensors(listed: Manifest, seed: int = 0) -> dict[str, Any]:
    """Return random tensors as `Engine` takes them, large enough that what a token sees changes its logits."""
    tensors = shapes.random_tensors(listed, seed=seed)
    random = np.random.default_rng(seed)
    for tensor in tensors.values():
        if isinstance(tensor, dict) and 'scales' in tensor:
            tensor['scales'] = tensor['scales'] * tensor['scales'].dtype.type(20)
        elif isinstance(tensor, dict):
            tensor['weight'] = random.normal(0, 0.15, tensor['weight'].shape).astype(np.float16)
    return tensors


def dense(tensor: Any) -> Array:
    """Return a tensor of `random_tensors` as numbers, float32."""
    if isinstance(tensor, np.ndarray):
        return tensor
    packed = Linear(tensor['format'], tensor['rows'], tensor['cols'], tensor.get('group_size', 0),
                    FORMATS[tensor['format']].layout, tensor['weight'], tensor.get('scales'), tensor.get('mins'),
                    tensor.get('zeros'))
    return packed.dequantized()


class PlainLlama:
    """A shape of `tinychat_core.bench.shapes` with `random_tensors`."""

    def __init__(self, shape: str, weights: str) -> None:
        listed = shapes.manifest(shape, weights)
        self._model = listed.model
        self._tensors = {name: dense(tensor) for name, tensor in random_tensors(listed).items()}
        self.embedding: npt.NDArray[np.float32] = self._tensors['embedding'].astype(np.float32)

    def logits(self, ids: Sequence[int], *, causal: bool = True, spans: Sequence[tuple[int, int]] = (),
               windows: Sequence[int] = (0, 0), positions: Array | None = None,
               axes: Sequence[int] | None = None, deepstack: Sequence[Array] = ()) -> npt.NDArray[np.float32]:
        """
        Return the logits [n, vocab]; `positions` [n] or [n, 3], of which pair i of a head takes axis `axes`[i].

        `deepstack`: [n, hidden] that is added after each of the first layers.
        """
        model, count = self._model, len(ids)
        places = np.arange(count) if positions is None else positions
        places = np.broadcast_to(places[:, None], (count, 3)) if places.ndim == 1 else places
        dim = model.head_dim
        inverse = np.array(model.inverse_frequencies(count))
        angles = places[:, axes or [0] * (dim // 2)] * inverse
        x = self.embedding[list(ids)].astype(np.float64)
        for layer in range(model.layers):
            seen = _visible(count, causal, spans, windows[layer])
            x = x + self._attention(layer, self._norm(x, f'layers.{layer}.attn_norm'), angles, seen)
            both = self._norm(x, f'layers.{layer}.mlp_norm') @ self._tensors[f'layers.{layer}.mlp.gate_up'].T
            gate, up = np.split(both, 2, axis=1)
            x = x + (gate / (1 + np.exp(-gate)) * up) @ self._tensors[f'layers.{layer}.mlp.down'].T
            if layer < len(deepstack):
                x = x + deepstack[layer]
        head = self._tensors.get('head', self.embedding)
        found: npt.NDArray[np.float32] = (self._norm(x, 'norm') @ head.T).astype(np.float32)
        return found

    def _norm(self, x: Array, name: str) -> Array:
        scaled: Array = x / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + self._model.norm_eps)
        return scaled * self._tensors[f'{name}.weight']

    def _attention(self, layer: int, x: Array, angles: Array, seen: Array) -> Array:
        heads, kv_heads, dim = (self._model.heads, self._model.kv_heads, self._model.head_dim)
        qkv = (x @ self._tensors[f'layers.{layer}.attn.qkv'].T).reshape(len(x), heads + 2 * kv_heads, dim)
        q, k, v = np.split(qkv, [heads, heads + kv_heads], axis=1)
        q, k = _rotated(q, angles), _rotated(k, angles)
        out = np.empty_like(q)
        for head in range(heads):
            kv_head = head * kv_heads // heads
            scores = np.where(seen, q[:, head] @ k[:, kv_head].T / np.sqrt(dim), -np.inf)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[:, head] = weights / weights.sum(axis=1, keepdims=True) @ v[:, kv_head]
        projected: Array = out.reshape(len(x), -1) @ self._tensors[f'layers.{layer}.attn.o'].T
        return projected


def _visible(count: int, causal: bool, spans: Sequence[tuple[int, int]], window: int) -> Array:
    """Return [n, n] which token (a row) sees which."""
    distance = np.arange(count)[:, None] - np.arange(count)[None, :]
    seen = distance >= 0 if causal else np.full((count, count), True)
    if window:
        seen &= np.abs(distance) < window
    for begin, end in spans:
        seen[begin:end, begin:end] = True
    return seen


def _rotated(x: Array, angles: Array) -> Array:
    """Return heads [n, heads, dim] with pair (i, i + dim / 2) turned by its angle."""
    first, second = np.split(x, 2, axis=2)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    turned: Array = np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=2)
    return turned
