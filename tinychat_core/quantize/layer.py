# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Quantize one decoder layer, matrix by matrix in the order of computation.

Each matrix is calibrated on the inputs that the quantized matrices before it produce, so that it can compensate for
their errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.writer import Content
from tinychat_core.quantize.clip import best_grid
from tinychat_core.quantize.decoder_layer import DecoderLayer
from tinychat_core.quantize.fold import fold, Group, groups, tied
from tinychat_core.quantize.gptq import gptq_integers
from tinychat_core.quantize.grid import Grid, grid_over, ranges
from tinychat_core.quantize.inputs import gather, Inputs
from tinychat_core.quantize.method import Method
from tinychat_core.quantize.scale_search import noise, output_error, rounded, sample_of, search


@dataclass
class SearchResult:
    """
    The result of a layer's search, by the names of its matrices.

    `scales` [cols] multiply the input channels; `grids` are those of the scaled matrices; llm-awq has `clips`
    [rows, groups] instead, which bound the magnitude of each group.
    """

    scales: dict[str, Tensor] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)
    clips: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Relative squared output errors of a layer's matrices: rounded to nearest (before), and quantized (after)."""

    before: float
    after: float


class LayerQuantizer:
    """Quantizes a decoder layer: run `steps` to its end, then read the results."""

    def __init__(self, model: ModelConfig, index: int, content: Content, method: Method,
                 result: SearchResult | None) -> None:
        """Take a layer's tensors by their names after `layers.N.`; a given search result skips the search."""
        self._model, self._index, self._method = model, index, method
        self._search, self.search_result = result is None, result or SearchResult()
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
        Quantize each group of matrices, and replace `hidden`, chunks [count, length, width], by the layer's output.

        To save memory, each matrix is removed from `original` once it is quantized.
        """
        layer = self.layer(hidden[0].shape[1])
        tokens = sum(chunk.shape[0] * chunk.shape[1] for chunk in hidden)
        pending = {group.matrices[0]: group for group in self._groups}

        def solve(name: str, chunks: Iterator[Tensor]) -> dict[str, Tensor]:
            """Quantize the group of a matrix if it is pending; return the dequantized matrix."""
            if name in pending:
                self._solve(pending.pop(name), gather(chunks, tokens))
            return {name: self._dequantized(name)}

        weights = solve('attn.qkv', (layer.norm('attn_norm', chunk) for chunk in hidden))
        yield
        # bf16, as in training: for 64 * 512 tokens these are the largest tensors.
        inner = [layer.attend(layer.linear('attn.qkv', layer.norm('attn_norm', chunk), weights)).bfloat16()
                 for chunk in hidden]
        weights = solve('attn.o', (chunk.float() for chunk in inner))
        yield
        before = list(hidden) if layer.parallel else hidden
        for index, chunk in enumerate(inner):
            hidden[index] = layer.attention(hidden[index], chunk.float(), weights)
        del inner
        weights = solve(layer.up, (layer.norm(layer.mlp_norm, chunk) for chunk in before))
        yield
        inner = [layer.activate(layer.linear(layer.up, layer.norm(layer.mlp_norm, chunk), weights)).bfloat16()
                 for chunk in before]
        del before, weights
        weights = solve('mlp.down', (chunk.float() for chunk in inner))
        for index, chunk in enumerate(inner):
            hidden[index] = layer.mlp(hidden[index], chunk.float(), weights)
        yield

    def result(self) -> Content:
        """Return the layer's tensors as the checkpoint stores them."""
        linears = {name: grid.linear(integers) for name, (grid, integers) in self._integers.items()}
        vectors = {name: vector.numpy() for name, vector in self._vectors.items()}
        return fold(self._model, {**vectors, **linears},
                    {name: scale.numpy() for name, scale in self.search_result.scales.items()})

    @property
    def nearest(self) -> dict[str, Tensor]:
        """The weights rounded to nearest; only before `steps`."""
        plain = Method('rtn', self._method.precision, self._method.group_size)
        return {name: rounded(matrix, plain) for name, matrix in self.original.items()}

    @property
    def quantized(self) -> dict[str, Tensor]:
        """The dequantized weights, after `steps`."""
        return {name: self._dequantized(name) for name in self._integers}

    def report(self) -> Report:
        """Return the output errors."""
        return Report(self._before / self._energy, self._after / self._energy)

    def _grid(self, name: str, scaled: Tensor, inputs: Inputs, scale: Tensor) -> Grid:
        format_, size = self._method.format, self._method.group_size
        if self._search:
            self.search_result.grids[name] = best_grid(scaled, inputs.squares(size, scale), format_, size)
            return self.search_result.grids[name]
        low, high = ranges(scaled, size)
        if name in self.search_result.clips:
            clip = self.search_result.clips[name]
            low, high = torch.maximum(low, -clip), torch.minimum(high, clip)
        return grid_over(format_, size, low, high)

    def _solve(self, group: Group, inputs: Inputs) -> None:
        if self._search:
            def tie(values: Tensor) -> Tensor:
                return torch.from_numpy(tied(self._model, group.matrices[0], values.numpy()))

            matrices = [self.original[name] for name in group.matrices]
            scale = search(matrices, inputs, self._method, tie)
            if not self._method.smooths and not self._helps(scale, matrices, inputs):
                scale = torch.ones_like(scale)
            self.search_result.scales.update(dict.fromkeys(group.matrices, scale))
            del matrices
        for name in group.matrices:
            self._round(name, self.original.pop(name), inputs)

    def _helps(self, scale: Tensor, matrices: list[Tensor], inputs: Inputs) -> bool:
        """
        Return whether a scale still reduces the error after clipping and GPTQ.

        The search evaluates rounding to nearest. Clipping and GPTQ often protect the important channels better without
        a scale.
        """
        samples = [sample_of(matrix) for matrix in matrices]

        def error(scale: Tensor) -> float:
            total = noise(samples, inputs, scale, self._method) if self._method.rounds_inputs else 0.0
            for sample in samples:
                scaled = sample * scale
                grid = best_grid(scaled, inputs.squares(self._method.group_size, scale), self._method.format,
                                 self._method.group_size)
                dequantized = grid.values(gptq_integers(scaled, inputs.gram, grid, scale)).div_(scale)
                total += output_error(dequantized - sample, inputs.gram)
            return total

        return error(scale) < error(torch.ones_like(scale))

    def _round(self, name: str, matrix: Tensor, inputs: Inputs) -> None:
        scale = self._scale(name, matrix.shape[1])
        sample = sample_of(matrix).clone()
        scaled = matrix.mul_(scale)
        grid = self.search_result.grids.get(name) or self._grid(name, scaled, inputs, scale)
        self._integers[name] = grid, gptq_integers(scaled, inputs.gram, grid, scale)
        plain = Method('rtn', self._method.precision, self._method.group_size)
        self._before += output_error(rounded(sample, plain) - sample, inputs.gram)
        self._after += output_error(sample_of(self._dequantized(name)) - sample, inputs.gram)
        self._energy += output_error(sample, inputs.gram)

    def _dequantized(self, name: str) -> Tensor:
        """Return a dequantized matrix for unscaled inputs."""
        grid, integers = self._integers[name]
        return grid.values(integers).div_(self._scale(name, integers.shape[1]))

    def _scale(self, name: str, cols: int) -> Tensor:
        return self.search_result.scales.get(name, torch.ones(cols))
