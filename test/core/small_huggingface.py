# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face directory of a LLaMA of two layers."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
import small_checkpoint as small
import torch

CONFIG: dict[str, Any] = {
    'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'vocab_size': 270, 'hidden_size': 64,
    'intermediate_size': 96, 'num_hidden_layers': 2, 'num_attention_heads': 2, 'num_key_value_heads': 1,
    'max_position_embeddings': 128, 'rms_norm_eps': 1e-5, 'tie_word_embeddings': False, 'bos_token_id': 1,
    'eos_token_id': 2,
}
SHAPES = {
    'model.embed_tokens.weight': (270, 64), 'model.norm.weight': (64,), 'lm_head.weight': (270, 64),
    **{f'model.layers.{i}.{name}.weight': shape for i in range(2) for name, shape in {
        'input_layernorm': (64,), 'post_attention_layernorm': (64,), 'self_attn.q_proj': (64, 64),
        'self_attn.k_proj': (32, 64), 'self_attn.v_proj': (32, 64), 'self_attn.o_proj': (64, 64),
        'mlp.gate_proj': (96, 64), 'mlp.up_proj': (96, 64), 'mlp.down_proj': (64, 96)}.items()},
}


def tensors(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}


def save(directory: Path, made: dict[str, torch.Tensor], config: dict[str, Any] | None = None, shards: int = 1) -> Path:
    """Write the directory, in one file or in several with an index."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / 'config.json').write_text(json.dumps({**CONFIG, **(config or {})}))
    (directory / 'tokenizer.json').write_text(json.dumps(small.tokenizer()))
    (directory / 'tokenizer_config.json').write_text(json.dumps({
        'eos_token': '<|end|>', 'chat_template': '{% for m in messages %}{{ m.content }}{% endfor %}'}))
    if shards == 1:
        save_file(made, directory / 'model.safetensors')
        return directory
    files = [f'model-{i + 1:05d}-of-{shards:05d}.safetensors' for i in range(shards)]
    weight_map = {name: files[i % shards] for i, name in enumerate(made)}
    for file in files:
        save_file({name: made[name] for name in made if weight_map[name] == file}, directory / file)
    (directory / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': weight_map}))
    return directory


def expected(made: dict[str, torch.Tensor], ours: str) -> Any:
    """Return a tensor of ours in float32, from theirs."""
    names = {'embedding': ['model.embed_tokens'], 'head': ['lm_head'], 'norm.weight': ['model.norm'],
             'layers.1.attn.qkv': [f'model.layers.1.self_attn.{part}_proj' for part in 'qkv'],
             'layers.1.mlp.gate_up': ['model.layers.1.mlp.gate_proj', 'model.layers.1.mlp.up_proj'],
             'layers.1.mlp.down': ['model.layers.1.mlp.down_proj']}[ours]
    return torch.cat([made[f'{name}.weight'].float() for name in names]).numpy()


def changed(made: dict[str, torch.Tensor], **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Return the tensors with some replaced, `__` for a dot; None leaves one out."""
    named = {name.replace('__', '.'): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in {**made, **named}.items() if tensor is not None}
