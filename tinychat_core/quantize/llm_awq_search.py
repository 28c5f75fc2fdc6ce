# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
llm-awq's published search files: a dictionary of `scale` and `clip`. No code in them is executed.

`scale` is a list of (previous operation, matrices, scale [cols]), `clip` one of (matrix, largest magnitude
[rows, groups, 1] after scaling).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import pickle

import torch
from torch import Tensor

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.tensor_names import shape_of
from tinychat_core.errors import TinyChatError
from tinychat_core.families.family import Names
from tinychat_core.quantize.layer import SearchResult


def load_llm_awq(path: Path, model: ModelConfig, names: Names) -> dict[int, SearchResult]:
    """Return the scales and clips of each decoder layer; TinyChatError for any other file."""
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        raise TinyChatError(f'{path} would run code when opened, or is damaged; only tensors, lists and names are '
                            'read') from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise TinyChatError(f'{path} is damaged ({str(error).partition(chr(10))[0]}); get the file again') from None
    positions = _positions(model, names)
    found: dict[int, SearchResult] = {}
    clips: dict[tuple[int, str], dict[int, Tensor]] = {}
    try:
        for _, matrices, scale in content['scale']:
            for theirs in matrices:
                index, ours, _ = positions[theirs]
                found.setdefault(index, SearchResult()).scales[ours] = scale.float().reshape(-1)
        for theirs, largest in content['clip']:
            index, ours, part = positions[theirs]
            clips.setdefault((index, ours), {})[part] = largest.float().reshape(len(largest), -1)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TinyChatError(f'{path} is not an llm-awq search for this model ({error!r})') from None
    for (index, ours), parts in clips.items():
        found.setdefault(index, SearchResult()).clips[ours] = _stacked(model, ours, names, parts)
    return found


def _positions(model: ModelConfig, names: Names) -> dict[str, tuple[int, str, int]]:
    """Return, for each of Hugging Face's matrices, its layer, our name and its index in our stacked matrix."""
    return {theirs.format(i=i): (i, ours.removeprefix('layers.{i}.'), part)
            for ours, stack in names.items() if '{i}' in ours
            for part, theirs in enumerate((stack,) if isinstance(stack, str) else stack)
            for i in range(model.layers)}


def _stacked(model: ModelConfig, ours: str, names: Names, parts: Mapping[int, Tensor]) -> Tensor:
    """Return the clips of all rows of a stacked matrix; rows without a clip (q and k) are not clipped."""
    stack = names['layers.{i}.' + ours]
    rows, groups = shape_of(ours, model)[0], next(iter(parts.values())).shape[1]
    if isinstance(stack, str):
        sizes = [rows]
    elif len(stack) == 3:
        sizes = [model.attention_width, model.kv_width, model.kv_width]
    else:
        sizes = [rows // len(stack)] * len(stack)
    return torch.cat([parts.get(index, torch.full((size, groups), torch.finfo(torch.float32).max))
                      for index, size in enumerate(sizes)])
