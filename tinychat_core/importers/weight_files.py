# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Finds the weight files of a Hugging Face directory.

The order is that of transformers 5 (modeling_utils._get_resolved_checkpoint_files): the file that config.json names,
model.safetensors, its index, pytorch_model.bin. Only if none of these exists, the
names of GPTQ's tools and a single other file are accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
import logging
from os.path import lexists  # a dangling link is damage, not absence
from pathlib import Path, PurePosixPath
import re
from typing import Any

from tinychat_core.errors import TinyChatError
from tinychat_core.importers.source_files import read_json
from tinychat_core.regular_file import check_regular

_log = logging.getLogger(__name__)

_SINGLE, _INDEX = 'model.safetensors', '.safetensors.index.json'
_PICKLES = ('pytorch_model.bin', 'pytorch_model.bin.index.json')
_NUMBERED = re.compile(r'(.+)-(\d{5})-of-(\d{5})\.safetensors')
# Safetensors files without the model's weights, or with tensor names of another format.
_OTHERS = re.compile(r'(adapter|consolidated|optimizer|scheduler|training_|tokenizer).*')
_TOOLS = ' with transformers.AutoModelForCausalLM.from_pretrained(…).save_pretrained(…)'


def weight_files(directory: Path, config: Mapping[str, Any]) -> list[Path]:
    """
    Return the safetensors files of a directory, in their order.

    `config` is config.json with its `quantization_config`. TinyChatError says which file is missing, or what to do
    where the weights are in files of another kind.
    """
    named = config.get('transformers_weights')
    if named is not None:
        if not isinstance(named, str):
            raise TinyChatError(f'{directory}/config.json: transformers_weights = {named!r} is not a file name')
        return _indexed(directory, named) if named.endswith(_INDEX) else [_inside(directory, named)]
    if (directory / _SINGLE).is_file():
        return [_inside(directory, _SINGLE)]
    if (directory / f'model{_INDEX}').is_file():
        return _indexed(directory, f'model{_INDEX}')
    if any((directory / name).is_file() for name in _PICKLES):
        raise TinyChatError(f'{directory} has its weights in .bin files, which can contain code; save them as '
                            'safetensors'
                            f'{_TOOLS}')
    for name in (_SINGLE, f'model{_INDEX}'):
        if lexists(directory / name):
            check_regular(directory / name)  # reports what it is instead
    return _otherwise_named(directory, config)


def _otherwise_named(directory: Path, config: Mapping[str, Any]) -> list[Path]:
    """Return files that transformers would not find: those with GPTQ's names, or the only file or series."""
    for base in _gptq_names(config):
        if (directory / f'{base}.safetensors').exists():
            return [_inside(directory, f'{base}.safetensors')]
        if (directory / f'{base}{_INDEX}').exists():
            return _indexed(directory, f'{base}{_INDEX}')
    names = sorted(path.name for path in directory.iterdir()
                   if path.name.endswith(('.safetensors', _INDEX)) and not _OTHERS.fullmatch(path.name))
    indices = [name for name in names if name.endswith(_INDEX)]
    series = {match[1]: int(match[3]) for match in map(_NUMBERED.fullmatch, names) if match}
    single = [name for name in names if name not in indices and not _NUMBERED.fullmatch(name)]
    if len(indices) + len(single) > 1 or (not indices and len(series) + len(single) > 1):
        found = ', '.join(names[:5])
        raise TinyChatError(f'{directory} has several weight files ({found}); give a directory with one of them, '
                            f'named {_SINGLE}')
    if indices:
        paths = _indexed(directory, indices[0])
    elif series:
        (base, count), = series.items()
        paths = [_inside(directory, f'{base}-{i:05}-of-{count:05}.safetensors') for i in range(1, count + 1)]
    elif single:
        paths = [_inside(directory, single[0])]
    else:
        raise TinyChatError(_none(directory))
    _log.warning('%s: there is no %s; its weights are read from %s', directory, _SINGLE,
                 indices[0] if indices else paths[0].name)
    return paths


def _gptq_names(config: Mapping[str, Any]) -> list[str]:
    """Return the file names that AutoGPTQ and GPTQModel use, without their suffix, the most likely first."""
    found = config.get('quantization_config')
    options = found if isinstance(found, dict) else {}
    names = [options.get(name) for name in ('model_file_base_name', 'model_basename')]
    names.append(f'gptq_model-{options.get("bits")}bit-{options.get("group_size")}g')
    return [name for name in names if isinstance(name, str) and name and PurePosixPath(name).name == name]


def _indexed(directory: Path, index: str) -> list[Path]:
    """Return the files listed in an index."""
    _inside(directory, index)
    names = read_json(directory, index).get('weight_map')
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise TinyChatError(f'{directory / index} is damaged (it has no weight_map); get the file again')
    return [_inside(directory, name) for name in sorted(set(names.values()))]


def _inside(directory: Path, name: str) -> Path:
    """Return the path of a weight file; TinyChatError where it is not one, or not in the directory."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or '..' in relative.parts or '\0' in name:
        raise TinyChatError(f'{directory} names the file {name!r}, which is outside this directory')
    if not name.endswith(('.safetensors', _INDEX)):
        raise TinyChatError(f'{directory} names the file {name!r}, which is not a safetensors file; save the weights '
                            'as '
                            f'safetensors{_TOOLS}')
    check_regular(directory / name)
    return directory / name


def _none(directory: Path) -> str:
    """Return the message for a directory without weights: what it contains instead, and what to do."""
    names = sorted(path.name for path in directory.iterdir())
    gguf = [name for name in names if name.endswith('.gguf')]
    if gguf:
        return f'{directory} has no {_SINGLE}; give one of its GGUF files: {directory / gguf[0]}'
    makers = [name for name in names if name.startswith('consolidated') or name.endswith('.pth')]
    others = [name for name in names if name.endswith(('.h5', '.msgpack', '.ckpt'))]
    if makers or others:
        return (f'{directory} has its weights in {(makers + others)[0]}, which is not supported; get the model in '
                f"transformers' format, with {_SINGLE}")
    return f'{directory} has no weights: neither {_SINGLE} nor model{_INDEX}; get the model again'


def check_directory(directory: Path) -> None:
    """Raise TinyChatError, suggesting a nearby one, where a directory is not a transformers model."""
    if (directory / 'adapter_config.json').exists():
        raise TinyChatError(f"{directory} is an adapter (adapter_config.json); merge it into its model with peft's "
                            'merge_and_unload, save that, and give its directory')
    if (directory / 'tinychat.json').exists():
        raise TinyChatError(f'{directory} is already imported; use it directly, or `tinychat split` for another layout')
    if lexists(directory / 'config.json'):
        return
    found = sorted(path.name for path in directory.glob('*.gguf'))
    if found:
        raise TinyChatError(f'{directory} has no config.json; give one of its GGUF files: {directory / found[0]}'
                            f'{" or " if found[1:] else ""}{", ".join(found[1:5])}')
    if list(directory.glob('*.safetensors')):
        raise TinyChatError(f"{directory} has no config.json; get the model's config.json too")
    near = [path.parent for pattern in ('config.json', '*/config.json', 'snapshots/*/config.json')
            for path in sorted((directory if '/' in pattern else directory.parent).glob(pattern))]
    if near:
        raise TinyChatError(f'{directory} has no config.json; give {" or ".join(map(str, near[:3]))}')
    raise TinyChatError(f'{directory} has no config.json; give a Hugging Face directory')
