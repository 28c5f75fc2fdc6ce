# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Quantize one decoder layer, matrix by matrix in the order in which it computes them.

Each matrix sees the inputs that the quantized ones before it make, so that it can put right what they did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.writer import Content
from tinychat_core.quantize.clip import best_grid
from tinychat_core.quantize.decoder_layer import DecoderLayer
from tinychat_core.quantize.fold import fold, Group, groups, tied
from tinychat_core.quantize.gptq import integers_with_feedback
from tinychat_core.quantize.grid import Grid, grid_over, ranges
from tinychat_core.quantize.inputs import gather, Inputs
from tinychat_core.quantize.method import Method
from tinychat_core.quantize.scale_search import noise, output_error, rounded, sample_of, search


@dataclass
class Found:
    """
    What a search has found for a layer, by the names of its matrices.

    `scales` [cols] multiply the input channels, `grids` are those of the scaled matrices; or (llm-awq's) `clips`
    [rows, groups] bound the magnitude of each group.
    """

    scales: dict[str, Tensor] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)
    clips: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Squared errors of the outputs of a layer's matrices, as a part of the outputs: rounded to nearest, and now."""

    before: float
    after: float


class LayerQuantizer:
    """A decoder layer on its way from float32 to few bits; `steps` does the work, then the rest can be read."""

    def __init__(self, model: Mapping[str, Any], index: int, content: Content, method: Method,
                 found: Found | None) -> None:
        """Hold a layer's tensors by our names after `layers.N.`; what was `found` before is not searched again."""
        self._model, self._index, self._method = model, index, method
        self._search, self.found = found is None, found or Found()
        self._groups = groups(model, content)
        self.original = {name: torch.from_numpy(np.asarray(tensor.weight)) for name, tensor in content.items()
                         if isinstance(tensor, Linear)}
        self._vectors = {name: torch.from_numpy(np.asarray(tensor)) for name, tensor in content.items()
                         if not isinstance(tensor, Linear)}
        self._integers: dict[str, tuple[Grid, Tensor]] = {}
        self._energy = self._before = self._after = 0.0

    def layer(self, length: int) -> DecoderLayer:
        """Return the layer for sequences of a length."""
        return DecoderLayer(self._model, self._index, self._vectors, length)

    def steps(self, hidden: list[Tensor]) -> Iterator[None]:
        """
        Quantize each group of matrices; replace `hidden`, chunks [count, length, width], by the layer's output.

        Of a wide layer nothing is kept that is not needed any more: `original` loses each matrix as it is done.
        """
        layer = self.layer(hidden[0].shape[1])
        tokens = sum(chunk.shape[0] * chunk.shape[1] for chunk in hidden)
        pending = {group.matrices[0]: group for group in self._groups}

        def solve(name: str, chunks: Iterator[Tensor]) -> dict[str, Tensor]:
            """Return the matrix of a name as its integers mean it."""
            if name in pending:
                self._solve(pending.pop(name), gather(chunks, tokens))
            return {name: self._meant(name)}

        weights = solve('attn.qkv', (layer.norm('attn_norm', chunk) for chunk in hidden))
        yield
        # In bf16, as models are trained: at 64 * 512 tokens the feed-forward part's would be the largest of all.
        inner = [layer.attend(layer.linear('attn.qkv', layer.norm('attn_norm', chunk), weights)).bfloat16()
                 for chunk in hidden]
        weights = solve('attn.o', (chunk.float() for chunk in inner))
        yield
        before = list(hidden) if layer.parallel else hidden
        for place, chunk in enumerate(inner):
            hidden[place] = layer.attention(hidden[place], chunk.float(), weights)
        del inner
        weights = solve(layer.up, (layer.norm(layer.mlp_norm, chunk) for chunk in before))
        yield
        inner = [layer.activate(layer.linear(layer.up, layer.norm(layer.mlp_norm, chunk), weights)).bfloat16()
                 for chunk in before]
        del before, weights
        weights = solve('mlp.down', (chunk.float() for chunk in inner))
        for place, chunk in enumerate(inner):
            hidden[place] = layer.mlp(hidden[place], chunk.float(), weights)
        yield

    def result(self) -> Content:
        """Return the layer's tensors as the checkpoint will hold them."""
        linears = {name: grid.linear(integers) for name, (grid, integers) in self._integers.items()}
        vectors = {name: vector.numpy() for name, vector in self._vectors.items()}
        return fold(self._model, {**vectors, **linears},
                    {name: scale.numpy() for name, scale in self.found.scales.items()})

    @property
    def nearest(self) -> dict[str, Tensor]:
        """The weights as round-to-nearest has them, before the steps."""
        plain = Method('rtn', self._method.precision, self._method.group_size)
        return {name: rounded(matrix, plain) for name, matrix in self.original.items()}

    @property
    def quantized(self) -> dict[str, Tensor]:
        """The weights as their integers mean them, after the steps."""
        return {name: self._meant(name) for name in self._integers}

    def report(self) -> Report:
        """Return how large the errors are."""
        return Report(self._before / self._energy, self._after / self._energy)

    def _grid(self, name: str, scaled: Tensor, inputs: Inputs, scale: Tensor) -> Grid:
        format_, size = self._method.format, self._method.group_size
        if self._search:
            self.found.grids[name] = best_grid(scaled, inputs.squares(size, scale), format_, size)
            return self.found.grids[name]
        low, high = ranges(scaled, size)
        if name in self.found.clips:
            low, high = torch.maximum(low, -self.found.clips[name]), torch.minimum(high, self.found.clips[name])
        return grid_over(format_, size, low, high)

    def _solve(self, group: Group, inputs: Inputs) -> None:
        if self._search:
            def tie(values: Tensor) -> Tensor:
                return torch.from_numpy(tied(self._model, group.matrices[0], values.numpy()))

            matrices = [self.original[name] for name in group.matrices]
            scale = search(matrices, inputs, self._method, tie)
            if not self._method.smooths and not self._helps(scale, matrices, inputs):
                scale = torch.ones_like(scale)
            self.found.scales.update(dict.fromkeys(group.matrices, scale))
            del matrices
        for name in group.matrices:
            self._round(name, self.original.pop(name), inputs)

    def _helps(self, scale: Tensor, matrices: list[Tensor], inputs: Inputs) -> bool:
        """
        Return whether a scale is still better than none once the rest of the method has done its part.

        The search judges plain rounding. What a scale protects, clipping and feedback often protect better without it.
        """
        samples = [sample_of(matrix) for matrix in matrices]

        def error(scale: Tensor) -> float:
            total = noise(samples, inputs, scale, self._method) if self._method.rounds_inputs else 0.0
            for sample in samples:
                scaled = sample * scale
                grid = best_grid(scaled, inputs.squares(self._method.group_size, scale), self._method.format,
                                 self._method.group_size)
                found = grid.values(integers_with_feedback(scaled, inputs.gram, grid, scale)).div_(scale)
                total += output_error(found - sample, inputs.gram)
            return total

        return error(scale) < error(torch.ones_like(scale))

    def _round(self, name: str, matrix: Tensor, inputs: Inputs) -> None:
        scale = self._scale(name, matrix.shape[1])
        sample = sample_of(matrix).clone()
        scaled = matrix.mul_(scale)
        grid = self.found.grids.get(name) or self._grid(name, scaled, inputs, scale)
        self._integers[name] = grid, integers_with_feedback(scaled, inputs.gram, grid, scale)
        plain = Method('rtn', self._method.precision, self._method.group_size)
        self._before += output_error(rounded(sample, plain) - sample, inputs.gram)
        self._after += output_error(sample_of(self._meant(name)) - sample, inputs.gram)
        self._energy += output_error(sample, inputs.gram)

    def _meant(self, name: str) -> Tensor:
        """Return what the integers of a matrix mean, for inputs without a scale."""
        grid, integers = self._integers[name]
        return grid.values(integers).div_(self._scale(name, integers.shape[1]))

    def _scale(self, name: str, cols: int) -> Tensor:
        return self.found.scales.get(name, torch.ones(cols))
