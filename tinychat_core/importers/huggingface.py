# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face directory as a source: mapped safetensors files with weights of 16 to 64 bits, or quantized."""

from __future__ import annotations

from collections.abc import Collection, Sequence
import json
import logging
import mmap
from os.path import lexists  # a link that leads nowhere is damage, and no absence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.checksums import checksum
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.shard_file import ShardFile
from tinychat_core.errors import TinyChatError, UnsupportedModelError
from tinychat_core.families import family_of, model_config, vision_config
from tinychat_core.families.family import Names
from tinychat_core.families.hf_config import end_tokens, HfConfig
from tinychat_core.importers import autoawq
from tinychat_core.importers.config_check import as_read_by_transformers, check_biases, check_config, own_head
from tinychat_core.importers.llm_awq import PtFile
from tinychat_core.importers.quantization_config import beside, check_packed, OLD_FILES, quant_format_of
from tinychat_core.importers.quantized_source import QuantizedSource, TensorFile
from tinychat_core.importers.source import Source, SourceModel
from tinychat_core.importers.source_files import read_json
from tinychat_core.importers.weight_files import check_directory, weight_files
from tinychat_core.regular_file import check_regular, read_file
from tinychat_core.text.tokenizer_files import tokenizer_name, without_tokenizer

_log = logging.getLogger(__name__)

_FORMATS = {'F16': 'f16', 'BF16': 'bf16', 'F32': 'f32', 'F64': 'f32'}
# Small files that are copied unchanged where they exist.
_OPTIONS = 'tokenizer_config.json'
_PROCESSOR = 'preprocessor_config.json'
_FILES = ('config.json', 'generation_config.json', 'tokenizer.json', _OPTIONS, 'chat_template.jinja',
          'chat_template.json', 'special_tokens_map.json', 'added_tokens.json')


def open_model(directory: Path, packed: Path | None = None) -> SourceModel:
    """
    Return the model of a directory; TinyChatError where a file is missing, damaged or not supported.

    `packed`: a .pt file of llm-awq to take the weights from.
    """
    check_directory(directory)
    hf_config = read_json(directory, 'config.json')
    options = _quantization(directory, hf_config)
    quant_format = None if options is None else quant_format_of(options, str(directory))
    family = family_of(hf_config)
    config = model_config(as_read_by_transformers(directory, hf_config))
    if lexists(directory / 'generation_config.json'):
        ends = end_tokens(read_json(directory, 'generation_config.json').get('eos_token_id'))
        if ends:
            config = config.replace(eos_token_ids=ends)
    check_config(directory, hf_config)
    files = _small_files(directory)
    files_of_weights: list[TensorFile]
    if packed is None:
        shards = weight_files(directory, {**hf_config, 'quantization_config': options})
        files_of_weights = [ShardFile(path, advice='get the file again') for path in shards]
    else:
        check_regular(packed)
        shards, quant_format = [packed], quant_format if isinstance(quant_format, autoawq.Awq) else autoawq.Awq()
        files_of_weights = [PtFile(packed)]
    sizes = [f'{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}' for path in shards]
    identity = {'directory': directory.resolve().name, 'shards': checksum('\n'.join(sizes).encode())}
    plain = HuggingFaceSource(directory, files_of_weights)
    if quant_format is None:
        check_packed(directory, plain.names)
    source: Source = plain if quant_format is None else QuantizedSource(plain, quant_format)
    names = in_file(family.names(HfConfig(hf_config)), source.names)
    embedding, head = names['embedding'], names.get('head')
    if config.tied_head and isinstance(embedding, str) and isinstance(head, str):
        config = config.replace(tied_head=not own_head(directory, source, embedding, head))
    check_biases(directory, source, hf_config, family.left_out)
    sees = any(name.startswith(family.left_out) for name in source.names)  # some are published without their vision
    vision = vision_config(hf_config, _processor(directory), config) if sees else None
    return SourceModel(source=source, family=family, names=names, config=config, files=files, identity=identity,
                       vision=vision,
                       name=f'{hf_config.get("_name_or_path", "")} {directory.resolve().name}')


def _small_files(directory: Path) -> dict[str, bytes]:
    """Return the files to copy, the tokenizer and the chat template under their usual names."""
    options = read_json(directory, _OPTIONS) if lexists(directory / _OPTIONS) else {}
    vocabulary = tokenizer_name(options, directory)
    if not (directory / vocabulary).exists():
        raise TinyChatError(without_tokenizer(directory, 'get the files of its tokenizer as well', vocabulary))
    files = {name: read_file(directory / name) for name in _FILES if lexists(directory / name)}
    if vocabulary != 'tokenizer.json':
        files['tokenizer.json'] = read_file(directory / vocabulary)
        files[_OPTIONS] = json.dumps({**options, 'fast_tokenizer_files': []}, indent=1).encode()
    template = directory / 'additional_chat_templates' / 'default.jinja'
    if lexists(template):
        files['chat_template.jinja'] = read_file(template)
    return files


def _processor(directory: Path) -> dict[str, Any]:
    """Return the options of the image processor; empty where a model has none."""
    if lexists(directory / _PROCESSOR):
        return read_json(directory, _PROCESSOR)
    if lexists(directory / 'processor_config.json'):  # transformers 5 nests them there
        found = read_json(directory, 'processor_config.json').get('image_processor')
        return found if isinstance(found, dict) else {}
    return {}


def _quantization(directory: Path, config: dict[str, Any]) -> Any:
    """Remove the quantization options from the configuration and return them; None where there are none."""
    found = config.pop('quantization_config', None) or config.pop('compression_config', None)
    for name, method in OLD_FILES.items():
        if lexists(directory / name):
            found = beside(found, {'quant_method': method, **read_json(directory, name)}, f'{directory}/{name}')
    return found


def in_file(names: Names, found: Collection[str]) -> Names:
    """
    Return a family's names with the prefix that they have in this file.

    The text part of a vision-language model has an additional prefix; a model that was saved without its head lacks
    one.
    """
    embedding = names['embedding']
    assert isinstance(embedding, str)
    base, _, rest = embedding.partition('.')
    for begin in (f'{base}.', f'language_model.{base}.', f'{base}.language_model.', ''):
        if f'{begin}{rest}.weight' in found:
            break
    else:
        return names
    head = 'language_model.' if 'language_model.lm_head.weight' in found else ''

    def renamed(name: str) -> str:
        return begin + name[len(base) + 1:] if name.startswith(f'{base}.') else head + name

    return {ours: renamed(theirs) if isinstance(theirs, str) else tuple(renamed(name) for name in theirs)
            for ours, theirs in names.items()}


def _alike(name: str, first: TensorFile, second: TensorFile) -> bool:
    """Return whether two files store the same values under a name."""
    return first is second or (first.dtype(name) == second.dtype(name) and first.shapes[name] == second.shapes[name]
                               and np.array_equal(first.array(name), second.array(name)))


class HuggingFaceSource:
    """The tensors of all files."""

    def __init__(self, directory: Path, files: Sequence[TensorFile]) -> None:
        """Index the tensors of the files; TinyChatError where two files differ in one."""
        self._directory = directory
        self.files: dict[str, TensorFile] = {}
        for file in files:
            for name in file.shapes:
                if not _alike(name, self.files.setdefault(name, file), file):
                    raise TinyChatError(f'{directory}: two of its files have different tensors named {name}')
        self._narrowed = False  # the warning has been logged

    @property
    def label(self) -> str:
        """Path of the directory."""
        return str(self._directory)

    @property
    def names(self) -> Collection[str]:
        """All tensors."""
        return self.files.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self.files[name].shapes[name]

    def matrix(self, name: str) -> Linear:
        """Return a matrix of F16, BF16, F32 or F64 (F64 as f32). Raises UnsupportedModelError for any other type."""
        array, format_ = self._array(name)
        array = array.reshape(len(array), -1)  # that of a convolution has more dimensions
        rows, cols = array.shape
        return Linear(format_, rows, cols, 0, None, array)

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Return a vector in float32; TinyChatError where a number is not finite."""
        array, format_ = self._array(name)
        if format_ == 'bf16':
            array = (array.astype(np.uint32) << 16).view(np.float32)
        values: npt.NDArray[np.float32] = array.astype(np.float32)
        if not np.isfinite(values).all():
            raise TinyChatError(f'{self.label}: {name} has numbers that are not finite; the file is damaged')
        return values

    def forget(self) -> None:
        """Release the pages that were read."""
        for file in set(self.files.values()):
            if isinstance(file, ShardFile):
                file.mapping.madvise(mmap.MADV_DONTNEED)

    def _array(self, name: str) -> tuple[npt.NDArray[Any], str]:
        shard = self.files[name]
        kind = shard.dtype(name)
        if kind not in _FORMATS:
            raise UnsupportedModelError(f'{self.label}: {name} has the type {kind}; supported are '
                                        f'{", ".join(_FORMATS)}')
        array = shard.array(name)
        if kind == 'F64':
            array = self._in_float32(array)
        return array, _FORMATS[kind]

    def _in_float32(self, array: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        with np.errstate(over='ignore'):  # infinities are refused later
            narrow = array.astype(np.float32)
        if not self._narrowed and not np.array_equal(narrow, array, equal_nan=True):
            self._narrowed = True
            _log.warning('%s: F64 is rounded to F32', self.label)
        return narrow
