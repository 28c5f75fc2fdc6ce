# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Write a Hugging Face directory of the LLaMA-2-7B shape with random bf16 weights: `random_huggingface.py OUT`."""
from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import sys

import numpy as np
import numpy.typing as npt

from tinychat_core.bench.shapes import config
from tinychat_core.checkpoint.shard_file import write_shard


def write_random_huggingface(out: Path) -> None:
    """Write a directory that transformers loads as LlamaForCausalLM."""
    out.mkdir(parents=True)
    names: dict[str, str] = {}
    for index, shapes in enumerate(_files()):
        file = f'model-{index:05d}.safetensors'
        write_shard(out / file, {name: _random(shape) for name, shape in shapes.items()})
        names |= dict.fromkeys(shapes, file)
    (out / 'model.safetensors.index.json').write_text(json.dumps({'metadata': {}, 'weight_map': names}))
    (out / 'config.json').write_text(json.dumps({
        **config('llama-2-7b'), 'architectures': ['LlamaForCausalLM'], 'dtype': 'bfloat16'}))


def _files() -> Iterator[dict[str, tuple[int, ...]]]:
    """Yield the names and shapes of the tensors of each file."""
    shape = config('llama-2-7b')
    hidden, inner, vocab = shape['hidden_size'], shape['intermediate_size'], shape['vocab_size']
    yield {'model.embed_tokens.weight': (vocab, hidden)}
    for layer in range(shape['num_hidden_layers']):
        yield {f'model.layers.{layer}.{name}.weight': size for name, size in {
            **{f'self_attn.{part}_proj': (hidden, hidden) for part in 'qkvo'},
            'mlp.gate_proj': (inner, hidden), 'mlp.up_proj': (inner, hidden), 'mlp.down_proj': (hidden, inner),
            'input_layernorm': (hidden,), 'post_attention_layernorm': (hidden,)}.items()}
    yield {'model.norm.weight': (hidden,), 'lm_head.weight': (vocab, hidden)}


def _random(shape: tuple[int, ...]) -> npt.NDArray[np.uint16]:
    """Return bf16 numbers below 2^-6 with random signs and fractions; norms are ones."""
    if len(shape) == 1:
        return np.full(shape, 0x3f80, np.uint16)
    noise = np.random.default_rng(0).integers(0, 1 << 16, 1 << 20, dtype=np.uint16) & 0x807f | 0x3c00
    return np.resize(noise, shape)


if __name__ == '__main__':
    write_random_huggingface(Path(sys.argv[1]))
