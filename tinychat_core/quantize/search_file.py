# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Search results as a safetensors file, whose metadata names the method.

`layers.N.MATRIX.input_scale` [cols]; each grid has `.scales` and `.mins` or `.zeros` [rows, groups].
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import Tensor

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.tensor_names import shape_of
from tinychat_core.errors import TinyChatError
from tinychat_core.families.family import Names
from tinychat_core.quantize.grid import Grid
from tinychat_core.quantize.layer import SearchResult
from tinychat_core.quantize.llm_awq_search import load_llm_awq
from tinychat_core.quantize.method import Method

_VERSION = '1'


def save(path: Path, results: Mapping[int, SearchResult], method: Method) -> None:
    """Write the result of each decoder layer atomically; TinyChatError where that fails."""
    tensors = {f'layers.{index}.{name}': tensor for index, result in results.items()
               for name, tensor in tensors_of(result).items()}
    header = {'tinychat_search': _VERSION, 'method': method.name, 'group_size': str(method.group_size)}
    partial = path.with_name(path.name + '.partial')
    try:
        save_file(tensors, partial, header)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise TinyChatError(f'cannot write {path}: {getattr(error, "strerror", None) or error}') from None


def load(path: Path, model: ModelConfig, names: Names, method: Method) -> dict[int, SearchResult]:
    """
    Return the results of each decoder layer from a file of ours, or (`.pt`) of llm-awq.

    `names` are Hugging Face's. Raises TinyChatError for a file that is damaged, belongs to another model or method,
    lacks a layer or would run code.
    """
    if not path.is_file():
        raise TinyChatError(f'{path} does not exist; give a file that --save-search wrote, or one of llm-awq')
    results = load_llm_awq(path, model, names) if path.suffix == '.pt' else _load(path, method)
    if sorted(results) != list(range(model.layers)):
        raise TinyChatError(f'{path} belongs to a model with other decoder layers; it has {len(results)} of '
                            f'{model.layers}')
    for index, result in results.items():
        for name, tensor in tensors_of(result).items():
            matrix, _, suffix = name.rpartition('.')
            _check(path, model, method, f'layers.{index}.{matrix}', suffix, tensor)
    return results


def tensors_of(result: SearchResult) -> dict[str, Tensor]:
    """Return the tensors of a layer's result by name; matrices that share an input scale each have a copy."""
    named = {f'{name}.input_scale': scale.clone() for name, scale in result.scales.items()}
    named |= {f'{name}.clip': clip for name, clip in result.clips.items()}
    for name, grid in result.grids.items():
        eight = grid.format == 'w8c'
        named[f'{name}.scales'] = grid.scales if eight else grid.scales.half()
        if grid.zeros is not None:
            named[f'{name}.zeros'] = grid.zeros.to(torch.uint8)
        elif not eight:
            named[f'{name}.mins'] = grid.mins.half()
    return {name: tensor.contiguous() for name, tensor in named.items()}


def result_of(named: Mapping[str, Tensor], method: Method) -> SearchResult:
    """Return the result that `tensors_of` has turned into these tensors."""
    result = SearchResult()
    for name, tensor in named.items():
        matrix, _, suffix = name.rpartition('.')
        if suffix == 'input_scale':
            result.scales[matrix] = tensor
        elif suffix == 'clip':
            result.clips[matrix] = tensor
        elif suffix == 'scales':
            scales, zeros = tensor.float(), named.get(f'{matrix}.zeros')
            mins = -zeros.float() * scales if zeros is not None else named.get(f'{matrix}.mins', scales * 0).float()
            result.grids[matrix] = Grid(method.format, method.group_size, scales, mins,
                                        None if zeros is None else zeros.float())
        elif suffix not in ('mins', 'zeros'):
            raise KeyError(name)
    return result


def _load(path: Path, method: Method) -> dict[int, SearchResult]:
    layers: dict[int, dict[str, Tensor]] = {}
    try:
        with safe_open(path, 'pt') as file:
            header = file.metadata() or {}
            if header.get('tinychat_search') != _VERSION:
                raise TinyChatError(f'{path} is not a search result of this release; make one with --save-search')
            made = header['method'], int(header['group_size'])
            if made != (method.name, method.group_size):
                raise TinyChatError(f'{path} was made by --method {made[0]} --group-size {made[1]}; use the same')
            for key in list(file.keys()):
                _, index, name = key.split('.', 2)
                layers.setdefault(int(index), {})[name] = file.get_tensor(key)
        return {index: result_of(named, method) for index, named in layers.items()}
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise TinyChatError(f'{path} is damaged ({error}); make it again') from None


def _check(path: Path, model: ModelConfig, method: Method, name: str, suffix: str, tensor: Tensor) -> None:
    try:
        rows, cols = shape_of(name, model)
    except (KeyError, ValueError):
        raise TinyChatError(f'{path} has {name}, but the model has no such matrix') from None
    wanted = (cols,) if suffix == 'input_scale' else (rows, cols // method.group_size if method.group_size else 1)
    if tuple(tensor.shape) != wanted:
        raise TinyChatError(f'{path}: {name}.{suffix} has the shape {list(tensor.shape)} instead of {list(wanted)}; it '
                            'belongs to another model or group size')
    numbers = tensor.float()
    if not torch.isfinite(numbers).all() or (suffix in ('input_scale', 'scales') and not (numbers > 0).all()):
        raise TinyChatError(f'{path}: {name}.{suffix} has invalid numbers; the file is damaged')
