# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
llm-awq's published search files: a dictionary of `scale` and `clip`; nothing in them is run.

`scale` is a list of (previous operation, matrices, scale [cols]), `clip` one of (matrix, largest magnitude
[rows, groups, 1] after scaling).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import pickle
from typing import Any

import torch
from torch import Tensor

from tinychat_core.errors import TinyChatError
from tinychat_core.families.family import Names
from tinychat_core.families.tensors import shape_of
from tinychat_core.quantize.layer import Found


def load_llm_awq(path: Path, model: Mapping[str, Any], names: Names) -> dict[int, Found]:
    """Return the scales and clips of each decoder layer; TinyChatError for anything else than such a file."""
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        raise TinyChatError(f'{path} wants to run code when it is opened, or is damaged; only tensors, lists and '
                            'names are read') from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise TinyChatError(f'{path} is damaged ({str(error).partition(chr(10))[0]}); get the file again') from None
    places = _places(model, names)
    found: dict[int, Found] = {}
    clips: dict[tuple[int, str], dict[int, Tensor]] = {}
    try:
        for _, matrices, scale in content['scale']:
            for theirs in matrices:
                index, ours, _ = places[theirs]
                found.setdefault(index, Found()).scales[ours] = scale.float().reshape(-1)
        for theirs, largest in content['clip']:
            index, ours, part = places[theirs]
            clips.setdefault((index, ours), {})[part] = largest.float().reshape(len(largest), -1)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TinyChatError(f'{path} is no search of llm-awq for this model ({error!r})') from None
    for (index, ours), parts in clips.items():
        found.setdefault(index, Found()).clips[ours] = _stacked(model, ours, names, parts)
    return found


def _places(model: Mapping[str, Any], names: Names) -> dict[str, tuple[int, str, int]]:
    """Return decoder layer, our name and place in our stack of each of Hugging Face's matrices."""
    return {theirs.format(i=i): (i, ours.removeprefix('layers.{i}.'), part)
            for ours, stack in names.items() if '{i}' in ours
            for part, theirs in enumerate((stack,) if isinstance(stack, str) else stack)
            for i in range(model['layers'])}


def _stacked(model: Mapping[str, Any], ours: str, names: Names, parts: Mapping[int, Tensor]) -> Tensor:
    """Return the clips of all rows of a stack; what llm-awq leaves alone (q and k) is not clipped."""
    stack = names['layers.{i}.' + ours]
    rows, groups = shape_of(ours, model)[0], next(iter(parts.values())).shape[1]
    if isinstance(stack, str):
        sizes = [rows]
    elif len(stack) == 3:
        sizes = [model[heads] * model['head_dim'] for heads in ('heads', 'kv_heads', 'kv_heads')]
    else:
        sizes = [rows // len(stack)] * len(stack)
    return torch.cat([parts.get(place, torch.full((size, groups), torch.finfo(torch.float32).max))
                      for place, size in enumerate(sizes)])
