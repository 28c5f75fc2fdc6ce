# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
From a source to a quantized checkpoint, layer by layer.

Only one decoder layer is in memory, with the residual stream of the calibration text; what is done is kept, so
that a run that was cut off goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tinychat_core.checkpoint.checksums import checksum
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.writer import CheckpointWriter, Content
from tinychat_core.families import family_of
from tinychat_core.families.config import Config
from tinychat_core.families.family import Names
from tinychat_core.importers import open_source
from tinychat_core.importers.import_plan import Assembly
from tinychat_core.importers.recipe import check_finite, Recipe
from tinychat_core.importers.source import Opened, Source
from tinychat_core.quantize.calibration import sequences
from tinychat_core.quantize.embed_and_head import embedded, Head
from tinychat_core.quantize.layer import Found, LayerQuantizer, Report
from tinychat_core.quantize.method import Method
from tinychat_core.quantize.progress_file import Progress
from tinychat_core.quantize.scale_search import plain_grid
from tinychat_core.quantize.search_file import load, save
from tinychat_core.text.tokenizer import Tokenizer

_CHUNK = 4096  # tokens that go through a layer at once


@dataclass(frozen=True)
class Summary:
    """
    What a run did: errors of each decoder layer, and perplexities of text that did not calibrate, by name.

    `perplexities` are empty where no text was given.
    """

    reports: list[Report]
    perplexities: dict[str, float]


def quantize_model(source: str, out: Path, method: Method, text: Path | None = None, *,
                   save_search: Path | None = None, load_search: Path | None = None, chat_template: str | None = None,
                   progress: Callable[[float], None] = lambda _: None) -> Summary:
    """
    Write the split checkpoint `out` from `source`: a Hugging Face directory, an id of its hub or a GGUF file.

    `text` calibrates (plain, or chats as .jsonl). `chat_template`: see import_model. Raises TinyChatError for what
    cannot be quantized; then `out` does not exist.
    """
    opened = open_source(source, chat_template=chat_template)
    recipe = Recipe('W8' if method.format == 'w8c' else 'W4', method.group_size)
    recipe.check(opened.model)
    parts = [partial(_read, opened.source, part) for part in Assembly(
        opened.source, opened.family, opened.names, opened.model, _plain).parts]
    identity = {**opened.identity, 'method': method.name, 'precision': method.precision,
                'group_size': str(method.group_size)}
    if not method.calibrates:
        with CheckpointWriter(out, len(parts), identity) as writer, torch.inference_mode():
            for count, part in enumerate(parts, start=1):
                writer.add(partial(_nearest, part, recipe, method))
                progress(count / len(parts))
            writer.finish(family=opened.family.name, model=opened.model, files=opened.files)
        return Summary([], {})
    found = load(load_search, opened.model, _hf_names(opened), method) if load_search else {}
    tokens, judges = sequences(_tokenizer(opened), text, opened.model['context_length'])
    identity['tokens'] = checksum(np.asarray(tokens, np.int64).tobytes())
    if load_search:
        identity['search'] = checksum(load_search.read_bytes())
    with CheckpointWriter(out, len(parts), identity) as writer, torch.inference_mode():
        run = _Run(opened, method, parts, writer, Progress(
            out.with_name(out.name + '.calibration'), identity, method, writer.parts_done - 1))
        summary = run(tokens, judges, found, recipe, progress)
        if save_search:
            save(save_search, run.done.found, method)
        writer.finish(family=opened.family.name, model=opened.model, files=opened.files)
    run.done.remove()
    progress(1)
    return summary


class _Run:
    """A run that calibrates; `done` is what is kept of it."""

    def __init__(self, opened: Opened, method: Method, parts: Sequence[Callable[[], Content]],
                 writer: CheckpointWriter, done: Progress) -> None:
        self.done = done
        self._model, self._method, self._parts, self._writer = opened.model, method, parts, writer

    def __call__(self, tokens: list[list[int]], judges: list[list[int]], found: Mapping[int, Found], recipe: Recipe,
                 progress: Callable[[float], None]) -> Summary:
        """Write all parts; `judges` are sequences that tell the perplexity."""
        self._writer.add(lambda: _converted(self._parts[0](), recipe))
        streams = self.done.streams
        if streams is None:
            names = ('RTN', self._method.name, 'reference') if judges else ()
            streams = _embedded(self._model, self._parts[0](), {'': tokens, **dict.fromkeys(names, judges)})
        for index in range(self._model['layers']):
            if index >= self.done.layers:
                self._layer(index, streams, found.get(index), progress)
            else:
                self._writer.add(dict)  # it is there already
        self._writer.add(lambda: _converted(self._parts[-1](), recipe))
        del streams['']
        ends = {**self._parts[0](), **self._parts[-1]()}
        return Summary(self.done.reports, {name: _perplexity(self._model, ends, stream, judges)
                                           for name, stream in streams.items()})

    def _layer(self, index: int, streams: dict[str, list[Tensor]], found: Found | None,
               progress: Callable[[float], None]) -> None:
        prefix = f'layers.{index}.'
        quantizer = LayerQuantizer(self._model, index, {
            name.removeprefix(prefix): tensor for name, tensor in self._parts[index + 1]().items()},
            self._method, found)

        def forward(name: str, weights: Callable[[], Mapping[str, Tensor]]) -> None:
            chunks = streams.get(name, [])
            if chunks:
                layer, these = quantizer.layer(chunks[0].shape[1]), weights()
                chunks[:] = [layer.forward(chunk, these) for chunk in chunks]

        forward('RTN', lambda: quantizer.nearest)
        forward('reference', lambda: quantizer.original)
        for step, _ in enumerate(quantizer.steps(streams['']), start=1):
            progress((index + step / 4) / (self._model['layers'] + 1))
        forward(self._method.name, lambda: quantizer.quantized)
        self._writer.add(lambda: {prefix + name: tensor for name, tensor in quantizer.result().items()})
        self.done.add(quantizer.report(), quantizer.found, streams)


def _plain(name: str, matrix: Linear) -> Linear:
    """Return a matrix in float32; TinyChatError where a number is not finite."""
    plain = Linear('f32', matrix.rows, matrix.cols, 0, None, matrix.dequantized())
    check_finite(name, plain)
    return plain


def _read(source: Source, part: Callable[[], Content]) -> Content:
    """Return a part; the pages of the source that it came from would pile up, layer by layer."""
    content = part()
    source.forget()
    return content


def _converted(content: Content, recipe: Recipe) -> Content:
    """Return embedding, norm and head as they will be stored."""
    return {name: recipe(name, tensor) if isinstance(tensor, Linear) else tensor for name, tensor in content.items()}


def _nearest(part: Callable[[], Content], recipe: Recipe, method: Method) -> Content:
    """Return a part rounded to the nearest."""
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


def _embedded(model: Mapping[str, Any], first: Content,
              sequences: Mapping[str, list[list[int]]]) -> dict[str, list[Tensor]]:
    """Return the residual before the first layer, in chunks [count, length, hidden]."""
    return {name: list(embedded(model, first, tokens).split(max(1, _CHUNK // len(tokens[0]))))
            for name, tokens in sequences.items()}


def _perplexity(model: Mapping[str, Any], ends: Content, stream: list[Tensor], tokens: list[list[int]]) -> float:
    """Return the perplexity of the sequences whose residual after the last layer is `stream`."""
    head = Head(model, ends)
    losses = [functional.cross_entropy(head(hidden[:-1]), torch.tensor(ids[1:])).item()
              for hidden, ids in zip((one for chunk in stream for one in chunk), tokens, strict=True)]
    return math.exp(sum(losses) / len(losses))


def _tokenizer(opened: Opened) -> Tokenizer:
    with TemporaryDirectory() as directory:
        for name, content in opened.files.items():
            (Path(directory) / name).write_bytes(content)
        return Tokenizer.open(directory)


def _hf_names(opened: Opened) -> Names:
    config = json.loads(opened.files['config.json'])
    return family_of(config).names(Config(config))
