# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Import models from GGUF files, Hugging Face directories and the hub into split checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TYPE_CHECKING

from tinychat_core.errors import TinyChatError

if TYPE_CHECKING:
    from tinychat_core.importers.source import SourceModel


def import_model(source: str, out: Path, layout: str | None = None,
                 progress: Callable[[float], None] = lambda _: None, weights: str | None = None,
                 group_size: int = 128, packed: Path | None = None, chat_template: str | None = None,
                 mmproj: Path | None = None) -> None:
    """
    Write the split checkpoint `out` from `source`: a GGUF file, a Hugging Face directory, or an id of the hub.

    An id is OWNER/NAME, or OWNER/NAME:FILE.gguf for a GGUF file. `weights` W4, W8 or W16 rounds to nearest; None keeps
    quantized weights as they are and stores all others in 16 bits. `packed` is a .pt file of llm-awq with the weights
    of a Hugging Face directory, `mmproj` a GGUF file with the vision part of a GGUF model. `chat_template`, a file or a
    name (see named_templates), replaces the model's own. `layout` None is the default of each format. `progress`
    receives the fraction done. Raises TinyChatError for a source that cannot be imported; then `out` does not exist.
    """
    from tinychat_core.boundary import foreseen

    with foreseen('import', source):
        _import_model(source, out, layout, progress, weights, group_size, packed, chat_template, mmproj)


def _import_model(source: str, out: Path, layout: str | None, progress: Callable[[float], None], weights: str | None,
                  group_size: int, packed: Path | None, chat_template: str | None, mmproj: Path | None) -> None:
    from tinychat_core.checkpoint.writer import CheckpointWriter
    from tinychat_core.importers.import_plan import ImportPlan
    from tinychat_core.importers.recipe import Recipe
    from tinychat_core.importers.tokenizer_check import check_tokenizer
    from tinychat_core.importers.vision_plan import VisionPlan

    source_model = open_source(source, packed, chat_template, mmproj)
    check_tokenizer(source_model.files, source, source_model.config.vocab_size)
    recipe = Recipe(weights, group_size)
    recipe.check(source_model.config)
    parts = [*ImportPlan(source_model, recipe).parts, *VisionPlan(source_model, weights).parts]
    identity = {**source_model.identity, **({'weights': weights, 'group_size': str(group_size)} if weights else {})}
    with CheckpointWriter(out, len(parts), identity, layout) as writer:
        for done, part in enumerate(parts, start=1):
            writer.add(part)
            progress(done / len(parts))
        writer.finish(family=source_model.family.name, model=source_model.config, files=source_model.files,
                      vision=source_model.vision)


def open_source(source: str, packed: Path | None = None, chat_template: str | None = None,
                mmproj: Path | None = None) -> SourceModel:
    """
    Return the model of a GGUF file, a Hugging Face directory or a hub id; TinyChatError for anything else.

    `chat_template`, a file or a name, replaces the model's own. A model without one logs a warning.
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
    if mmproj is not None and module != 'gguf':
        raise TinyChatError(f'{mmproj} needs a GGUF file, but {source} is a directory, which has its own vision part')
    if packed is not None and module == 'gguf':
        raise TinyChatError(f'{packed} needs a Hugging Face directory, but {source} is a file')
    options: dict[str, Any] = {} if packed is None else {'packed': packed}
    if chat_template is not None:
        text = chosen_template(chat_template)
        options |= {'chat_template': text} if module == 'gguf' else {}
    if mmproj is not None:
        options['mmproj'] = mmproj
    found: SourceModel = import_module(f'tinychat_core.importers.{module}').open_model(path, **options)
    return replace(found, files=with_template(found.files, chat_template, source, f'{found.name} {source}'))
