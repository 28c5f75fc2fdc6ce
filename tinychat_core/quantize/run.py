# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Quantize a source into a checkpoint, layer by layer.

Only one decoder layer is in memory, with the residual stream of the calibration text. Finished layers are saved, so
that an interrupted run can continue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tinychat_core.checkpoint.checksums import checksum
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.writer import CheckpointWriter, Content
from tinychat_core.families import family_of
from tinychat_core.families.family import Names
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.importers import open_source
from tinychat_core.importers.import_plan import ImportPlan
from tinychat_core.importers.recipe import check_finite, Recipe
from tinychat_core.importers.source import Source, SourceModel
from tinychat_core.importers.vision_plan import VisionPlan
from tinychat_core.quantize.calibration import sequences
from tinychat_core.quantize.embed_and_head import embedded, Head
from tinychat_core.quantize.layer import LayerQuantizer, Report, SearchResult
from tinychat_core.quantize.method import Method
from tinychat_core.quantize.progress_file import Progress
from tinychat_core.quantize.scale_search import plain_grid
from tinychat_core.quantize.search_file import load, save
from tinychat_core.text.tokenizer import Tokenizer

_CHUNK = 4096  # tokens that go through a layer at a time


@dataclass(frozen=True)
class Summary:
    """
    The result of a run: the errors of each decoder layer, and perplexities on the held-out text by name.

    `perplexities` is empty where no text was given.
    """

    reports: list[Report]
    perplexities: dict[str, float]


def quantize_model(source: str, out: Path, method: Method, text: Path | None = None, *,
                   save_search: Path | None = None, load_search: Path | None = None, chat_template: str | None = None,
                   progress: Callable[[float], None] = lambda _: None) -> Summary:
    """
    Write the split checkpoint `out` from `source`: a Hugging Face directory, an id of its hub or a GGUF file.

    `text` is the calibration text (plain, or chats as .jsonl). `chat_template`: see import_model. Raises TinyChatError
    for a source that cannot be quantized; then `out` does not exist.
    """
    source_model = open_source(source, chat_template=chat_template)
    recipe = Recipe('W8' if method.format == 'w8c' else 'W4', method.group_size)
    recipe.check(source_model.config)
    parts = [partial(_read, source_model.source, part) for part in ImportPlan(source_model, _plain).parts]
    vision = VisionPlan(source_model, 'W8').parts
    identity = {**source_model.identity, 'method': method.name, 'precision': method.precision,
                'group_size': str(method.group_size)}
    if not method.calibrates:
        with CheckpointWriter(out, len(parts) + len(vision), identity) as writer, torch.inference_mode():
            for count, part in enumerate(parts, start=1):
                writer.add(partial(_nearest, part, recipe, method))
                progress(count / len(parts))
            _finish(writer, source_model, vision)
        return Summary([], {})
    results = load(load_search, source_model.config, _hf_names(source_model), method) if load_search else {}
    tokens, heldout = sequences(_tokenizer(source_model), text, source_model.config.context_length)
    identity['tokens'] = checksum(np.asarray(tokens, np.int64).tobytes())
    if load_search:
        identity['search'] = checksum(load_search.read_bytes())
    with CheckpointWriter(out, len(parts) + len(vision), identity) as writer, torch.inference_mode():
        run = _Run(source_model, method, parts, writer, Progress(
            out.with_name(out.name + '.calibration'), identity, method,
            min(writer.parts_done, len(parts)) - 1))
        summary = run(tokens, heldout, results, recipe, progress)
        if save_search:
            save(save_search, run.done.results, method)
        _finish(writer, source_model, vision)
    run.done.remove()
    progress(1)
    return summary


def _finish(writer: CheckpointWriter, source_model: SourceModel, vision: Sequence[Callable[[], Content]]) -> None:
    """Write the encoder, which is only rounded to 8 bits, and the manifest."""
    for part in vision:
        writer.add(part)
    writer.finish(family=source_model.family.name, model=source_model.config, files=source_model.files,
                  vision=source_model.vision)


class _Run:
    """A run with calibration; `done` is its saved state."""

    def __init__(self, source_model: SourceModel, method: Method, parts: Sequence[Callable[[], Content]],
                 writer: CheckpointWriter, done: Progress) -> None:
        self.done = done
        self._model, self._method, self._parts, self._writer = source_model.config, method, parts, writer

    def __call__(self, tokens: list[list[int]], heldout: list[list[int]], results: Mapping[int, SearchResult],
                 recipe: Recipe, progress: Callable[[float], None]) -> Summary:
        """Write all parts; `heldout` are the sequences that the perplexities are computed on."""
        self._writer.add(lambda: _converted(self._parts[0](), recipe))
        streams = self.done.streams
        if streams is None:
            names = ('RTN', self._method.name, 'reference') if heldout else ()
            streams = _embedded(self._model, self._parts[0](), {'': tokens, **dict.fromkeys(names, heldout)})
        for index in range(self._model.layers):
            if index >= self.done.layers:
                self._layer(index, streams, results.get(index), progress)
            else:
                self._writer.add(dict)  # already written
        self._writer.add(lambda: _converted(self._parts[-1](), recipe))
        del streams['']
        tensors = {**self._parts[0](), **self._parts[-1]()}
        return Summary(self.done.reports, {name: _perplexity(self._model, tensors, stream, heldout)
                                           for name, stream in streams.items()})

    def _layer(self, index: int, streams: dict[str, list[Tensor]], result: SearchResult | None,
               progress: Callable[[float], None]) -> None:
        prefix = f'layers.{index}.'
        quantizer = LayerQuantizer(self._model, index, {
            name.removeprefix(prefix): tensor for name, tensor in self._parts[index + 1]().items()},
            self._method, result)

        def forward(name: str, weights: Callable[[], Mapping[str, Tensor]]) -> None:
            chunks = streams.get(name, [])
            if chunks:
                layer, these = quantizer.layer(chunks[0].shape[1]), weights()
                chunks[:] = [layer.forward(chunk, these) for chunk in chunks]

        forward('RTN', lambda: quantizer.nearest)
        forward('reference', lambda: quantizer.original)
        for step, _ in enumerate(quantizer.steps(streams['']), start=1):
            progress((index + step / 4) / (self._model.layers + 1))
        forward(self._method.name, lambda: quantizer.quantized)
        self._writer.add(lambda: {prefix + name: tensor for name, tensor in quantizer.result().items()})
        self.done.add(quantizer.report(), quantizer.search_result, streams)


def _plain(name: str, matrix: Linear) -> Linear:
    """Return a matrix in float32; TinyChatError where a number is not finite."""
    plain = Linear('f32', matrix.rows, matrix.cols, 0, None, matrix.dequantized())
    check_finite(name, plain)
    return plain


def _read(source: Source, part: Callable[[], Content]) -> Content:
    """Return a part, and release the pages of the source that it was read from."""
    content = part()
    source.forget()
    return content


def _converted(content: Content, recipe: Recipe) -> Content:
    """Return embedding, norm and head in their final format."""
    return {name: recipe(name, tensor) if isinstance(tensor, Linear) else tensor for name, tensor in content.items()}


def _nearest(part: Callable[[], Content], recipe: Recipe, method: Method) -> Content:
    """Return a part rounded to nearest."""
    content = part()
    rounded: dict[str, Linear | npt.NDArray[np.float32]] = dict(content)
    for name, tensor in content.items():
        if not isinstance(tensor, Linear):
            continue
        if name.startswith('layers.') and method.format == 'w8c':
            values = torch.from_numpy(tensor.weight)
            grid = plain_grid(values, method)
            rounded[name] = grid.linear(grid.integers(values))
        else:
            rounded[name] = recipe(name, tensor)
    return rounded


def _embedded(model: ModelConfig, first: Content,
              sequences: Mapping[str, list[list[int]]]) -> dict[str, list[Tensor]]:
    """Return the input of the first layer, in chunks [count, length, hidden]."""
    return {name: list(embedded(model, first, tokens).split(max(1, _CHUNK // len(tokens[0]))))
            for name, tokens in sequences.items()}


def _perplexity(model: ModelConfig, tensors: Content, stream: list[Tensor], tokens: list[list[int]]) -> float:
    """Return the perplexity of sequences, given the output `stream` of the last layer."""
    head = Head(model, tensors)
    losses = [functional.cross_entropy(head(hidden[:-1]), torch.tensor(ids[1:])).item()
              for hidden, ids in zip((one for chunk in stream for one in chunk), tokens, strict=True)]
    return math.exp(sum(losses) / len(losses))


def _tokenizer(source_model: SourceModel) -> Tokenizer:
    with TemporaryDirectory() as directory:
        for name, content in source_model.files.items():
            (Path(directory) / name).write_bytes(content)
        return Tokenizer.open(directory)


def _hf_names(source_model: SourceModel) -> Names:
    config = json.loads(source_model.files['config.json'])
    return family_of(config).names(HfConfig(config))
