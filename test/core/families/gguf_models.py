# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A reference model as a GGUF file, as llama.cpp's converter writes it."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from core import plain_gguf, tiny_llama
from families.tiny_models import Reference, VOCAB
import numpy as np

LLAMA = {'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', 'lm_head': 'output',
         'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v',
         'self_attn.o_proj': 'attn_output', 'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm',
         'self_attn.qkv_proj': 'attn_qkv', 'mlp.gate_up_proj': 'ffn_up', 'mlp.gate_proj': 'ffn_gate',
         'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down', 'input_layernorm': 'attn_norm'}
PLAIN = {**LLAMA, 'post_attention_layernorm': 'ffn_norm'}
GEMMA = {**LLAMA, 'post_attention_layernorm': 'post_attention_norm', 'pre_feedforward_layernorm': 'ffn_norm',
         'post_feedforward_layernorm': 'post_ffw_norm'}


def save(reference: Reference, path: Path, extra: dict[str, plain_gguf.Tensor] | None = None, **changes: Any) -> Path:
    """Write a model of the families that llama.cpp calls by these names; matrices in F16, which must hold them."""
    config = reference.config
    architecture = {'gemma3_text': 'gemma3'}.get(config.model_type, config.model_type)
    head_dim = getattr(config, 'head_dim', None) or config.hidden_size // config.num_attention_heads
    theta = config.rope_parameters.get('full_attention', config.rope_parameters)['rope_theta']
    options = {
        'embedding_length': config.hidden_size, 'feed_forward_length': config.intermediate_size,
        'block_count': config.num_hidden_layers, 'attention.head_count': config.num_attention_heads,
        'attention.head_count_kv': config.num_key_value_heads, 'attention.key_length': head_dim,
        'attention.value_length': head_dim, 'rope.dimension_count': head_dim,
        'context_length': config.max_position_embeddings, 'attention.layer_norm_rms_epsilon': config.rms_norm_eps,
        'rope.freq_base': float(theta)}
    for name, option in (('attention.sliding_window', 'sliding_window'),
                         ('attn_logit_softcapping', 'attn_logit_softcapping'),
                         ('final_logit_softcapping', 'final_logit_softcapping')):
        if architecture in ('gemma2', 'gemma3', 'phi3') and getattr(config, option, None) is not None:
            options[name] = getattr(config, option)
    tokenizer = {key: value for key, value in tiny_llama.metadata().items() if key.startswith('tokenizer.')}
    tokens = tokenizer['tokenizer.ggml.tokens']
    tokens += [f'<{i}>' for i in range(VOCAB - len(tokens))]
    tokenizer['tokenizer.ggml.token_type'] = [3] * 3 + [1] * (VOCAB - 3)
    metadata = {'general.architecture': architecture, **{f'{architecture}.{key}': value for key, value in {
        **options, **{name.replace('__', '.'): value for name, value in changes.items()}}.items()}, **tokenizer}
    gemma = architecture.startswith('gemma')
    made = {}
    for name, tensor in reference.state.items():
        values = tensor.float().numpy()
        stem, _, part = name.rpartition('.')
        if stem == 'lm_head' and config.tie_word_embeddings:
            continue
        if stem.startswith('model.layers.'):
            _, _, i, theirs = stem.split('.', 3)
            name = f'blk.{i}.{(GEMMA if gemma else PLAIN)[theirs]}.{part}'
        else:
            name = f'{LLAMA[stem]}.{part}'
        kind = 'F16' if values.ndim == 2 else 'F32'
        if gemma and kind == 'F32':
            values = values + np.float32(1)
        number = np.float16 if kind == 'F16' else np.float32
        stored = plain_gguf.Tensor(kind, values.shape, values.astype(number).tobytes())
        heads = {'attn_q.': config.num_attention_heads, 'attn_k.': config.num_key_value_heads}
        for marked, count in heads.items():
            if architecture == 'llama' and marked in name:
                stored = tiny_llama.for_interleaved(stored, count)
        made[name] = stored
    return plain_gguf.write(path, metadata, {**made, **(extra or {})})
