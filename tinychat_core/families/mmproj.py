# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The description of a family's mmproj file: llama.cpp's GGUF file with the vision part of a model.

The names of keys and tensors are those of llama.cpp (tools/mtmd/clip-impl.h, gguf-py/gguf/constants.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tinychat_core.families.vision import Vision

LAYER_TENSORS: dict[str, str | tuple[str, ...]] = {
    'encoder.layers.{i}.attn_norm': 'v.blk.{i}.ln1',
    'encoder.layers.{i}.attn.qkv': ('v.blk.{i}.attn_q', 'v.blk.{i}.attn_k', 'v.blk.{i}.attn_v'),
    'encoder.layers.{i}.attn.o': 'v.blk.{i}.attn_out',
    'encoder.layers.{i}.mlp_norm': 'v.blk.{i}.ln2',
    'encoder.layers.{i}.mlp.up': 'v.blk.{i}.ffn_up',
    'encoder.layers.{i}.mlp.down': 'v.blk.{i}.ffn_down',
}
SIGLIP_TENSORS: dict[str, str | tuple[str, ...]] = {
    'encoder.project_in': 'v.patch_embd', 'encoder.positions': 'v.position_embd', 'encoder.norm': 'v.post_ln',
    **LAYER_TENSORS}
CLIP_TENSORS: dict[str, str | tuple[str, ...]] = {
    'stem.project_in': 'v.patch_embd', 'stem.positions': 'v.position_embd', 'stem.norm': 'v.pre_ln', **LAYER_TENSORS}


@dataclass(frozen=True)
class Mmproj:
    """
    The vision part of a family in such a file.

    `projector`: the value of clip.projector_type; `tiles`: whether the file has image_grid_pinpoints. `texts`: values
    of general.architecture that the model itself may have. `vision`: the names of the tensors. `options` returns what
    config.json and preprocessor_config.json contain besides sizes and colors, given the keys after `clip.vision.`. If
    it raises a Python exception, a value has a wrong type. `gelu`: the activation if clip.use_gelu is set;
    `activation`: otherwise.
    """

    projector: str
    texts: tuple[str, ...]
    vision: Vision
    options: Callable[[Mapping[str, Any]], tuple[dict[str, Any], dict[str, Any]]]
    tiles: bool = False
    gelu: str = 'gelu'
    activation: str = 'gelu_pytorch_tanh'
    checks_width: bool = True  # projection_dim is the width of the model's embeddings
