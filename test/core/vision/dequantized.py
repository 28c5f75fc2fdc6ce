# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Gives transformers' model the weights that a quantized checkpoint means."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tinychat_core.families import families
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.loading.reader import Checkpoint


def load(model: Any, directory: Path) -> dict[str, str]:
    """Set all matrices of a model to those of its checkpoint, and return their formats by name."""
    checkpoint = Checkpoint.open(directory)
    manifest = checkpoint.manifest
    assert manifest.vision is not None
    family = next(family for family in families() if family.name == manifest.family)
    assert family.vision is not None
    ours = {**{f'vision.{name}': theirs for name, theirs in family.vision.tensors.items()},
            **family.names(HfConfig(model.config.to_dict()))}
    parameters = dict(model.named_parameters())
    formats = {}
    for pattern, theirs in ours.items():
        for i in range(64 if '{i}' in pattern else 1):
            name = pattern.format(i=i)
            if name not in manifest.tensors or manifest.tensors[name].format == 'f32':
                continue
            formats[name] = manifest.tensors[name].format
            values = torch.from_numpy(checkpoint.linear(name).dequantized().copy())
            stage = _stage(manifest.vision, name)
            if stage is not None and name.endswith('attn.qkv'):
                width = stage.hidden_size // stage.heads
                values = values.reshape(3, stage.heads, stage.head_dim, -1)[:, :, :width].flatten(0, 2)
            if stage is not None and name.endswith('attn.o'):
                width = stage.hidden_size // stage.heads
                values = values.reshape(-1, stage.heads, stage.head_dim)[:, :, :width].flatten(1)
            scale = family.vision.row_scales.get(pattern.removeprefix('vision.'))
            if scale is not None:
                values = values / parameters[scale.format(i=i)].data[:, None]
            begin = 0
            for their in (theirs,) if isinstance(theirs, str) else theirs:
                parameter = _parameter(parameters, their.format(i=i))
                rows = parameter.shape[1] if pattern.endswith('vision.encoder.positions') and parameter.ndim == 3 \
                    else parameter.shape[0]
                part = values[begin:begin + rows]
                parameter.data = part[:, :parameter.numel() // rows].reshape(parameter.shape).clone()
                begin += rows
            assert begin == len(values), name
    checkpoint.close()
    return formats


def _stage(vision: Any, name: str) -> Any:
    return vision.encoder if name.startswith('vision.encoder.') else None


def _parameter(parameters: dict[str, Any], name: str) -> Any:
    for begin in ('model.language_model.', 'model.text_model.', 'model.'):
        for ending in ('.weight', ''):
            found = parameters.get(f'{begin}{name.removeprefix("model.")}{ending}', parameters.get(f'{name}{ending}'))
            if found is not None:
                return found
    raise KeyError(name)
