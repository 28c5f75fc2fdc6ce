# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Import a GGUF file exactly: its integers and scales become ours, nothing is quantized again."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import numpy as np

from tinychat_core.checkpoint.linear import Linear, stack
from tinychat_core.checkpoint.writer import CheckpointWriter, Content
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families import describe
from tinychat_core.importers.gguf_file import GgufFile
from tinychat_core.importers.gguf_tokenizer import tokenizer_files

# GGUF's architecture -> Hugging Face's model_type.
_ARCHITECTURES = {'llama': 'llama'}


def import_gguf(source: Path, out: Path, layout: str | None, progress: Callable[[float], None]) -> None:
    """Write the split checkpoint `out`; raises TinyChatError, and then `out` does not exist."""
    file = GgufFile(source)
    config = _config(file)
    family, model = describe(config)
    small_files: dict[str, str | bytes] = tokenizer_files(file.metadata)
    small_files['config.json'] = json.dumps(config, indent=1)
    small_files['generation_config.json'] = json.dumps({'bos_token_id': config['bos_token_id'],
                                                        'eos_token_id': config['eos_token_id']}, indent=1)
    shards = model['layers'] + 2
    stat = source.stat()
    writer = CheckpointWriter(out, shards, {'file': source.name, 'bytes': str(stat.st_size),
                                            'modified': str(stat.st_mtime_ns)}, layout)

    def layer(index: int) -> Callable[[], Content]:
        return lambda: _layer(file, index, model)

    steps: list[Callable[[], Content]] = [lambda: {'embedding': file.matrix('token_embd.weight')}]
    steps += map(layer, range(model['layers']))
    steps.append(lambda: _ending(file, model))
    for done, step in enumerate(steps, start=1):
        writer.add(step)
        progress(done / shards)
    first = file.matrix('blk.0.attn_q.weight')
    writer.finish(family=family, model=model, weights={'w4m': 'W4', 'w4z': 'W4', 'w8g': 'W8'}.get(first.format, 'W16'),
                  group_size=first.group_size, files=small_files)


def _config(file: GgufFile) -> dict[str, Any]:
    """Return config.json as Hugging Face would have it."""
    meta = file.metadata
    architecture = meta.get('general.architecture')
    if architecture not in _ARCHITECTURES:
        raise UnsupportedModelError(f"{file.path}: the architecture '{architecture}' is not supported; supported are "
                                    f'{", ".join(_ARCHITECTURES)}')

    def need(key: str) -> Any:
        if f'{architecture}.{key}' not in meta:
            raise UnsupportedModelError(f'{file.path}: the metadata lacks {architecture}.{key}')
        return meta[f'{architecture}.{key}']

    for option in ('expert_count', 'rope.scaling.type'):
        if meta.get(f'{architecture}.{option}') not in (None, 0, 'none'):
            raise UnsupportedModelError(f'{file.path}: {architecture}.{option} = {meta[f"{architecture}.{option}"]} is '
                                        'not supported')
    heads = need('attention.head_count')
    return {
        'architectures': ['LlamaForCausalLM'],
        'model_type': _ARCHITECTURES[architecture],
        'vocab_size': len(meta.get('tokenizer.ggml.tokens', ())) or need('vocab_size'),
        'hidden_size': need('embedding_length'),
        'intermediate_size': need('feed_forward_length'),
        'num_hidden_layers': need('block_count'),
        'num_attention_heads': heads,
        'num_key_value_heads': meta.get(f'{architecture}.attention.head_count_kv', heads),
        'max_position_embeddings': need('context_length'),
        'rms_norm_eps': need('attention.layer_norm_rms_epsilon'),
        'rope_theta': meta.get(f'{architecture}.rope.freq_base', 10000.0),
        'hidden_act': 'silu',
        'tie_word_embeddings': 'output.weight' not in file,
        'bos_token_id': meta.get('tokenizer.ggml.bos_token_id'),
        'eos_token_id': meta.get('tokenizer.ggml.eos_token_id'),
    }


def _layer(file: GgufFile, index: int, model: dict[str, Any]) -> Content:
    prefix = f'blk.{index}.'
    ours = f'layers.{index}.'
    q = _unpermuted(file.matrix(prefix + 'attn_q.weight'), model['heads'])
    k = _unpermuted(file.matrix(prefix + 'attn_k.weight'), model['kv_heads'])
    for bias in ('attn_q.bias', 'attn_output.bias', 'ffn_up.bias'):
        if prefix + bias in file:
            raise UnsupportedModelError(f'{file.path}: biases ({prefix}{bias}) are not supported')
    return {
        ours + 'attn_norm.weight': file.vector(prefix + 'attn_norm.weight'),
        ours + 'attn.qkv': _stacked(file, [q, k, file.matrix(prefix + 'attn_v.weight')], prefix + 'attn'),
        ours + 'attn.o': file.matrix(prefix + 'attn_output.weight'),
        ours + 'mlp_norm.weight': file.vector(prefix + 'ffn_norm.weight'),
        ours + 'mlp.gate_up': _stacked(file, [file.matrix(prefix + 'ffn_gate.weight'),
                                              file.matrix(prefix + 'ffn_up.weight')], prefix + 'ffn'),
        ours + 'mlp.down': file.matrix(prefix + 'ffn_down.weight'),
    }


def _ending(file: GgufFile, model: dict[str, Any]) -> Content:
    content: dict[str, Any] = {'norm.weight': file.vector('output_norm.weight')}
    if not model['tied_head']:
        content['head'] = file.matrix('output.weight')
    return content


def _stacked(file: GgufFile, matrices: list[Linear], name: str) -> Linear:
    try:
        return stack(matrices)
    except ValueError:
        kinds = ', '.join(matrix.format for matrix in matrices)
        raise UnsupportedModelError(f'{file.path}: {name} mixes types ({kinds}); quantize the file to one type') from None


def _unpermuted(matrix: Linear, heads: int) -> Linear:
    """
    Return q or k with the rows of each head in Hugging Face's order.

    GGUF stores LLaMA's for interleaved rotary positions: row 2i + j of a head is Hugging Face's row j * dim / 2 + i.
    """
    dim = matrix.rows // heads
    order = np.arange(matrix.rows).reshape(heads, dim // 2, 2).transpose(0, 2, 1).reshape(-1)

    def ordered(array: Any) -> Any:
        return None if array is None else array[order]

    return Linear(matrix.format, matrix.rows, matrix.cols, matrix.group_size, None, matrix.weight[order],
                  ordered(matrix.scales), ordered(matrix.mins), ordered(matrix.zeros))
