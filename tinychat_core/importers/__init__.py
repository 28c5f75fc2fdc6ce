# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""From what people have to a split checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TYPE_CHECKING

from tinychat_core.errors import TinyChatError

if TYPE_CHECKING:
    from tinychat_core.importers.source import Opened


def import_model(source: str, out: Path, layout: str | None = None,
                 progress: Callable[[float], None] = lambda _: None, weights: str | None = None,
                 group_size: int = 128, packed: Path | None = None, chat_template: str | None = None) -> None:
    """
    Write the split checkpoint `out` from `source`: a GGUF file, a Hugging Face directory, or an id of its hub.

    An id is OWNER/NAME, or OWNER/NAME:FILE.gguf for a GGUF file there.
    `weights` W4, W8 or W16 rounds to the nearest; None keeps what is quantized, and 16-bit numbers otherwise.
    `packed` is a .pt file of llm-awq with the weights of a Hugging Face directory.
    `chat_template` is a file's or a name's (see named_templates) instead of the model's own.
    `layout` None is each format's default. `progress` is told the fraction done. Raises TinyChatError for what
    cannot be imported; then `out` does not exist.
    """
    from tinychat_core.boundary import foreseen

    with foreseen('import', source):
        _import_model(source, out, layout, progress, weights, group_size, packed, chat_template)


def _import_model(source: str, out: Path, layout: str | None, progress: Callable[[float], None], weights: str | None,
                  group_size: int, packed: Path | None, chat_template: str | None) -> None:
    from tinychat_core.checkpoint.writer import CheckpointWriter
    from tinychat_core.importers.import_plan import Assembly
    from tinychat_core.importers.recipe import Recipe
    from tinychat_core.importers.tokenizer_check import check_tokenizer

    opened = open_source(source, packed, chat_template)
    check_tokenizer(opened.files, source, opened.model['vocab_size'])
    recipe = Recipe(weights, group_size)
    recipe.check(opened.model)
    parts = Assembly(opened.source, opened.family, opened.names, opened.model, recipe).parts
    identity = {**opened.identity, **({'weights': weights, 'group_size': str(group_size)} if weights else {})}
    with CheckpointWriter(out, len(parts), identity, layout) as writer:
        for done, part in enumerate(parts, start=1):
            writer.add(part)
            progress(done / len(parts))
        writer.finish(family=opened.family.name, model=opened.model, files=opened.files)


def open_source(source: str, packed: Path | None = None, chat_template: str | None = None) -> Opened:
    """
    Return the model of a GGUF file, a Hugging Face directory or a hub id; TinyChatError for anything else.

    `chat_template` is a file's or a name's, instead of its own; where it has none, a warning says it.
    """
    from tinychat_core.importers.hub import is_hub_id, local_copy
    from tinychat_core.importers.source_template import chosen_template, with_template

    path, module = Path(source), 'huggingface'
    if path.is_dir():
        pass
    elif path.suffix in ('.safetensors', '.json', '.bin') and path.is_file():
        raise TinyChatError(f'{source} is one file of a model; give the directory that it is in')
    elif path.exists():
        module = 'gguf'
    elif is_hub_id(source):
        path = local_copy(source)
        module = 'huggingface' if path.is_dir() else 'gguf'
    else:
        raise TinyChatError(f'{source} does not exist; give a GGUF file, a Hugging Face directory or a hub id')
    if packed is not None and module == 'gguf':
        raise TinyChatError(f'{packed} goes with a Hugging Face directory, and {source} is a file')
    options: dict[str, Any] = {} if packed is None else {'packed': packed}
    if chat_template is not None:
        text = chosen_template(chat_template)
        options |= {'chat_template': text} if module == 'gguf' else {}
    opened: Opened = import_module(f'tinychat_core.importers.{module}').open_model(path, **options)
    return replace(opened, files=with_template(opened.files, chat_template, source, f'{opened.name} {source}'))
