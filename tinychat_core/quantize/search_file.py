# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What a search has found, as a file of its own: safetensors, with a word about the method in its JSON header.

`layers.N.MATRIX.input_scale` [cols]; of each grid `.scales` and `.mins` or `.zeros` [rows, groups].
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import Tensor

from tinychat_core.errors import TinyChatError
from tinychat_core.families.family import Names
from tinychat_core.families.tensors import shape_of
from tinychat_core.quantize.grid import Grid
from tinychat_core.quantize.layer import Found
from tinychat_core.quantize.llm_awq_search import load_llm_awq
from tinychat_core.quantize.method import Method

_VERSION = '1'


def save(path: Path, found: Mapping[int, Found], method: Method) -> None:
    """Write what was found for each decoder layer, whole or not at all; TinyChatError where that fails."""
    tensors = {f'layers.{index}.{name}': tensor for index, layer in found.items()
               for name, tensor in parts(layer).items()}
    header = {'tinychat_search': _VERSION, 'method': method.name, 'group_size': str(method.group_size)}
    partial = path.with_name(path.name + '.partial')
    try:
        save_file(tensors, partial, header)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise TinyChatError(f'cannot write {path}: {getattr(error, "strerror", None) or error}') from None


def load(path: Path, model: Mapping[str, Any], names: Names, method: Method) -> dict[int, Found]:
    """
    Return what a file says for each decoder layer of a model: ours, or (`.pt`) llm-awq's.

    `names` are Hugging Face's. Raises TinyChatError for a file that is damaged, of another model or method, lacks a
    layer or wants to run code.
    """
    if not path.is_file():
        raise TinyChatError(f'{path} does not exist; give a file that --save-search wrote, or one of llm-awq')
    found = load_llm_awq(path, model, names) if path.suffix == '.pt' else _load(path, method)
    if sorted(found) != list(range(model['layers'])):
        raise TinyChatError(f'{path} is of a model with other decoder layers; it has {len(found)} of '
                            f'{model["layers"]}')
    for index, layer in found.items():
        for name, tensor in parts(layer).items():
            matrix, _, part = name.rpartition('.')
            _check(path, model, method, f'layers.{index}.{matrix}', part, tensor)
    return found


def parts(found: Found) -> dict[str, Tensor]:
    """Return the tensors of a layer's search by name; equal input scales are there for each matrix."""
    named = {f'{name}.input_scale': scale.clone() for name, scale in found.scales.items()}
    named |= {f'{name}.clip': clip for name, clip in found.clips.items()}
    for name, grid in found.grids.items():
        eight = grid.format == 'w8c'
        named[f'{name}.scales'] = grid.scales if eight else grid.scales.half()
        if grid.zeros is not None:
            named[f'{name}.zeros'] = grid.zeros.to(torch.uint8)
        elif not eight:
            named[f'{name}.mins'] = grid.mins.half()
    return {name: tensor.contiguous() for name, tensor in named.items()}


def found_of(named: Mapping[str, Tensor], method: Method) -> Found:
    """Return the search of these tensors (see `parts`)."""
    found = Found()
    for name, tensor in named.items():
        matrix, _, part = name.rpartition('.')
        if part == 'input_scale':
            found.scales[matrix] = tensor
        elif part == 'clip':
            found.clips[matrix] = tensor
        elif part == 'scales':
            scales, zeros = tensor.float(), named.get(f'{matrix}.zeros')
            mins = -zeros.float() * scales if zeros is not None else named.get(f'{matrix}.mins', scales * 0).float()
            found.grids[matrix] = Grid(method.format, method.group_size, scales, mins,
                                       None if zeros is None else zeros.float())
        elif part not in ('mins', 'zeros'):
            raise KeyError(name)
    return found


def _load(path: Path, method: Method) -> dict[int, Found]:
    layers: dict[int, dict[str, Tensor]] = {}
    try:
        with safe_open(path, 'pt') as file:
            header = file.metadata() or {}
            if header.get('tinychat_search') != _VERSION:
                raise TinyChatError(f'{path} holds no search of this release; make one with --save-search')
            made = header['method'], int(header['group_size'])
            if made != (method.name, method.group_size):
                raise TinyChatError(f'{path} was made by --method {made[0]} --group-size {made[1]}; use the same')
            for key in list(file.keys()):
                _, index, name = key.split('.', 2)
                layers.setdefault(int(index), {})[name] = file.get_tensor(key)
        return {index: found_of(named, method) for index, named in layers.items()}
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise TinyChatError(f'{path} is damaged ({error}); make it again') from None


def _check(path: Path, model: Mapping[str, Any], method: Method, name: str, part: str, tensor: Tensor) -> None:
    try:
        rows, cols = shape_of(name, model)
    except (KeyError, ValueError):
        raise TinyChatError(f'{path} has {name}, and the model has no such matrix') from None
    wanted = (cols,) if part == 'input_scale' else (rows, cols // method.group_size if method.group_size else 1)
    if tuple(tensor.shape) != wanted:
        raise TinyChatError(f'{path}: {name}.{part} has the shape {list(tensor.shape)} instead of {list(wanted)}; it '
                            'is of another model or group size')
    numbers = tensor.float()
    if not torch.isfinite(numbers).all() or (part in ('input_scale', 'scales') and not (numbers > 0).all()):
        raise TinyChatError(f'{path}: {name}.{part} has numbers that cannot be; the file is damaged')
