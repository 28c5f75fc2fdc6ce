# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The vision part of a GGUF model, which llama.cpp stores in a separate file (its option --mmproj)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.checksums import checksum
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import shown, TinyChatError, UnsupportedModelError
from tinychat_core.families import families, vision_config
from tinychat_core.families.family import Family
from tinychat_core.families.mmproj import Mmproj
from tinychat_core.families.vision import Names
from tinychat_core.importers.gguf_parts import GgufModel
from tinychat_core.importers.source import Source, SourceModel

_PREFIX = 'clip.vision.'
# Keys after `clip.vision.` -> options of vision_config.
_OPTIONS = {'image_size': 'image_size', 'patch_size': 'patch_size', 'embedding_length': 'hidden_size',
            'feed_forward_length': 'intermediate_size', 'block_count': 'num_hidden_layers',
            'attention.head_count': 'num_attention_heads', 'attention.layer_norm_epsilon': 'layer_norm_eps'}
# Keys that a family reads, or that only describe the file's history. Others would change what is computed.
_READ = frozenset((
    *_OPTIONS, 'image_mean', 'image_std', 'projection_dim', 'projector_type', 'projector.scale_factor',
    'feature_layer', 'preproc_image_size', 'preproc_min_tiles', 'preproc_max_tiles', 'image_grid_pinpoints',
    'mm_patch_merge_type', 'mm_projector_type', 'image_aspect_ratio', 'image_crop_resolution',
    'image_split_resolution', 'image_min_pixels', 'image_max_pixels'))
_BEGINS = ('v.', 'mm.', 'model.image_newline')
# The converter of the first LLaVA swapped the names of these two matrices.
_UP, _DOWN = 'v.blk.{i}.ffn_up', 'v.blk.{i}.ffn_down'


def with_mmproj(model: SourceModel, path: Path) -> SourceModel:
    """
    Return a GGUF model with the vision part of the file `path`.

    Raises TinyChatError if the file is damaged, belongs to another model, or has a part that is not supported.
    """
    file = GgufModel(path)
    meta = file.metadata
    if meta.get('general.architecture') != 'clip' or not meta.get('clip.has_vision_encoder', True):
        raise TinyChatError(f'{path} has no vision encoder (general.architecture = '
                            f"{shown(meta.get('general.architecture'))}); give the model's mmproj file")
    family, mmproj = _family_of(meta, path)
    text = model.family.gguf
    assert text is not None and family.vision is not None
    if text.architecture not in mmproj.texts:
        raise TinyChatError(f"{path} is for a model of the architecture {' or '.join(mmproj.texts)}, not of "
                            f"'{text.architecture}'")
    options = {key.removeprefix(_PREFIX): value for key, value in meta.items() if key.startswith(_PREFIX)}
    for name, value in options.items():
        if name not in _READ:
            raise UnsupportedModelError(f'{path}: {_PREFIX}{name} = {shown(value)} is not supported')
    width = options.get('projection_dim')
    if mmproj.checks_width and width not in (None, 0, model.config.hidden_size):
        raise TinyChatError(f'{path} makes embeddings of {width} numbers, but those of {model.source.label} have '
                            f'{model.config.hidden_size}; give the mmproj file of the same model')
    config, processor = _configs(meta, options, family, mmproj, path)
    try:
        vision = vision_config(config, processor, model.config)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f'{path}: {error}') from None
    tensors = _in_file(mmproj.vision.tensors, file, options)
    sees = replace(model.family, name=family.name, left_out=_BEGINS, vision=replace(mmproj.vision, tensors=tensors))
    sizes = [f'{part.name} {part.stat().st_size} {part.stat().st_mtime_ns}' for part in file.paths]
    return replace(model, source=_Joined(model.source, file), family=sees, vision=vision,
                   identity={**model.identity, 'mmproj': checksum('\n'.join(sizes).encode())})


def _family_of(meta: Mapping[str, Any], path: Path) -> tuple[Family, Mmproj]:
    """Return the family of a file's projector."""
    found = str(meta.get('clip.vision.projector_type', meta.get('clip.projector_type', 'mlp')))
    tiles = f'{_PREFIX}image_grid_pinpoints' in meta
    known = [(family, family.mmproj) for family in families() if family.mmproj is not None]
    for family, mmproj in known:
        if mmproj.projector == found and mmproj.tiles == tiles:
            return family, mmproj
    names = ', '.join(sorted({mmproj.projector for _, mmproj in known}))
    raise UnsupportedModelError(f'{path}: clip.projector_type = {shown(found)} is not supported; supported are {names}')


def _configs(meta: Mapping[str, Any], options: Mapping[str, Any], family: Family, mmproj: Mmproj,
             path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return config.json and preprocessor_config.json in the format of Hugging Face."""
    missing = [name for name in _OPTIONS if name not in options]
    if missing:
        raise TinyChatError(f'{path}: the metadata lacks {_PREFIX}{missing[0]}')
    try:
        outer, processor = mmproj.options(options)
    except KeyError as error:
        raise TinyChatError(f'{path}: the metadata lacks {_PREFIX}{error.args[0]}') from None
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        raise TinyChatError(f'{path} is damaged: its {_PREFIX}… keys have values of the wrong type or size') from None
    act = 'gelu' if meta.get('clip.use_gelu') else 'silu' if meta.get('clip.use_silu') else mmproj.activation
    inner = {**{_OPTIONS[name]: options[name] for name in _OPTIONS},
             'hidden_act': mmproj.gelu if act == 'gelu' else act}
    colors = {name: options[name] for name in ('image_mean', 'image_std') if name in options}
    return ({'model_type': family.model_types[0], 'vision_config': inner, **outer}, {**colors, **processor})


def _in_file(names: Names, file: GgufModel, options: Mapping[str, Any]) -> Names:
    """Return the names of the tensors in this file."""
    names = dict(names)
    if 'v.blk.0.attn_qkv.weight' in file.names:
        names['encoder.layers.{i}.attn.qkv'] = 'v.blk.{i}.attn_qkv'
    up = f'{_UP.format(i=0)}.weight'
    if up in file.names and file.shape(up) == (options['embedding_length'], options['feed_forward_length']):
        names |= {'encoder.layers.{i}.mlp.up': _DOWN, 'encoder.layers.{i}.mlp.down': _UP}
    return names


class _Joined:
    """The tensors of a model and those of its vision part."""

    def __init__(self, text: Source, vision: GgufModel) -> None:
        """Take both; no name is in both."""
        self._text, self._vision = text, vision

    @property
    def label(self) -> str:
        """Both files."""
        return f'{self._text.label} with {self._vision.path}'

    @property
    def names(self) -> Collection[str]:
        """All tensors."""
        return [*self._text.names, *self._vision.names]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor; in the vision part, without leading dimensions of size 1."""
        if name not in self._vision.names:
            return self._text.shape(name)
        shape = self._vision.shape(name)
        while len(shape) > 1 and shape[0] == 1:
            shape = shape[1:]
        return shape

    def matrix(self, name: str) -> Linear:
        """Return a matrix with the values that the file stores."""
        return (self._vision if name in self._vision.names else self._text).matrix(name)

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Return a vector."""
        return (self._vision if name in self._vision.names else self._text).vector(name)

    def forget(self) -> None:
        """Release the pages that were read."""
        self._text.forget()
        self._vision.forget()
