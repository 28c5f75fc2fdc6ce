# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A decoder layer in torch, as the steps between its matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from tinychat_core.checkpoint.model_config import ModelConfig

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    'silu': functional.silu,
    'gelu': functional.gelu,
    'gelu_tanh': lambda x: functional.gelu(x, approximate='tanh'),
    'relu': functional.relu,
}


class DecoderLayer:
    """What a decoder layer computes between its matrices, in float32; sequences are [count, length, width]."""

    def __init__(self, model: ModelConfig, index: int, vectors: Mapping[str, Tensor], length: int) -> None:
        """Take the layer's vectors, by their names after `layers.N.`, for sequences of `length` tokens."""
        self._model, self._vectors = model, vectors
        self.parallel, self.up = model.parallel, model.up_name
        self.mlp_norm = 'mlp_norm' if 'mlp_norm.weight' in vectors else 'attn_norm'
        self._window = model.windows[index] if model.windows else 0
        self._cos, self._sin = self._rotations(length)
        # Without a bias, torch uses a faster kernel.
        self._bias = self._score_bias(length) if self._window or model.alibi_slopes else None

    def linear(self, name: str, x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return x times a matrix of `weights`, with its bias."""
        return functional.linear(x, weights[name], self._vectors.get(f'{name}.bias'))

    def attention(self, hidden: Tensor, attended: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the residual after attention, from the residual before it and the result of `attend`."""
        output = self.norm('attn_post_norm', self.linear('attn.o', attended, weights))
        return self.norm('attn_sum_norm', hidden + output)

    def mlp(self, hidden: Tensor, activated: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the residual after the feed-forward part, from the one before it and the result of `activate`."""
        output = self.norm('mlp_post_norm', self.linear('mlp.down', activated, weights))
        return self.norm('mlp_sum_norm', hidden + output)

    def forward(self, hidden: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the residual after the layer."""
        attended = self.attend(self.linear('attn.qkv', self.norm('attn_norm', hidden), weights))
        after = self.attention(hidden, attended, weights)
        before = hidden if self.parallel else after
        up = self.linear(self.up, self.norm(self.mlp_norm, before), weights)
        return self.mlp(after, self.activate(up), weights)

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Apply a norm by its name; return x where the layer does not have it."""
        if f'{name}.weight' not in self._vectors:
            return x
        weight, bias = self._vectors[f'{name}.weight'], self._vectors.get(f'{name}.bias')
        if self._model.norm == 'rms' or name.endswith(('q_norm', 'k_norm')):
            return functional.rms_norm(x, (x.shape[-1],), weight, self._model.norm_eps)
        return functional.layer_norm(x, (x.shape[-1],), weight, bias, self._model.norm_eps)

    def attend(self, qkv: Tensor) -> Tensor:
        """Return the output of attention before `attn.o`, [count, length, heads * head_dim], from q | k | v."""
        model, (count, length, _) = self._model, qkv.shape
        heads, kv_heads, dim = model.heads, model.kv_heads, model.head_dim
        q, k, v = (part.view(count, length, -1, dim)
                   for part in qkv.split([heads * dim, kv_heads * dim, kv_heads * dim], dim=2))
        q, k = self._rotate(self.norm('attn.q_norm', q)), self._rotate(self.norm('attn.k_norm', k))
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        scale, softcap = model.attention_scale or dim ** -0.5, model.attention_softcap
        if not softcap:
            attended = functional.scaled_dot_product_attention(
                q, k, v, self._bias, is_causal=self._bias is None, scale=scale, enable_gqa=True)
        else:
            shared = heads // kv_heads
            scores = q @ k.repeat_interleave(shared, dim=1).mT * scale
            scores = torch.tanh(scores / softcap) * softcap
            scores += self._score_bias(length) if self._bias is None else self._bias
            attended = scores.softmax(dim=-1) @ v.repeat_interleave(shared, dim=1)
        return attended.transpose(1, 2).reshape(count, length, heads * dim)

    def activate(self, up: Tensor) -> Tensor:
        """Return the input of `mlp.down` from gate | up, or from up where there is no gate."""
        act = _ACTIVATIONS[self._model.activation]
        if not self._model.gated:
            return act(up)
        gate, up = up.chunk(2, dim=-1)
        return act(gate) * up

    def _rotate(self, x: Tensor) -> Tensor:
        """Return x [count, length, heads, head_dim] with the first elements of each head rotated."""
        half = self._cos.shape[-1]
        if not half:
            return x
        first, second, rest = x.split([half, half, x.shape[-1] - 2 * half], dim=-1)
        cos, sin = self._cos[:, None], self._sin[:, None]
        return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)

    def _rotations(self, length: int) -> tuple[Tensor, Tensor]:
        """Return cos and sin, [length, rotated pairs]."""
        table = self._model.inverse_frequencies(length)
        if self._window and self._model.rope_local_inv_freq:
            table = self._model.rope_local_inv_freq
        angles = torch.arange(length)[:, None] * torch.tensor(table, dtype=torch.float32)
        return angles.cos() * self._model.rope_scale, angles.sin() * self._model.rope_scale

    def _score_bias(self, length: int) -> Tensor:
        """Return the bias of the scores [1 or heads, length, length]: ALiBi, and minus infinity where masked."""
        positions = torch.arange(length, dtype=torch.float32)
        distance = positions - positions[:, None]
        slopes = torch.tensor(self._model.alibi_slopes or [0.0])
        masked = distance > 0
        if self._window:
            masked |= distance <= -self._window
        return (slopes[:, None, None] * distance).masked_fill(masked, float('-inf'))
