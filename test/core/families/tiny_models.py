# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A small random model of each family, from transformers' own classes.

At least three layers, the head size of a real one and its ratio of heads to KV heads, and a number of heads that is odd
wherever the widths allow it.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
import json
from pathlib import Path
from typing import Any, cast

from core.small_checkpoint import tokenizer
import numpy as np
import numpy.typing as npt
import torch
import transformers

Logits = npt.NDArray[np.float32]

VOCAB = 272


def sizes(heads: int, kv_heads: int, head_dim: int, hidden: int | None = None, **more: Any) -> dict[str, Any]:
    """Return the options that all LLaMA-like configurations share."""
    named = {} if hidden is None else {'head_dim': head_dim}
    return {'vocab_size': VOCAB, 'hidden_size': hidden or heads * head_dim, 'intermediate_size': 160,
            'num_hidden_layers': 3, 'num_attention_heads': heads, 'num_key_value_heads': kv_heads,
            'max_position_embeddings': 512, **named, **more}


def falcon(heads: int, **more: Any) -> dict[str, Any]:
    """Return the options of a Falcon configuration with heads of 64."""
    return {'vocab_size': VOCAB, 'hidden_size': 64 * heads, 'num_hidden_layers': 3, 'num_attention_heads': heads,
            'max_position_embeddings': 512, **more}


def opt(heads: int, head_dim: int, **more: Any) -> dict[str, Any]:
    """Return the options of an OPT configuration."""
    return {'vocab_size': VOCAB, 'hidden_size': heads * head_dim, 'ffn_dim': 160, 'num_hidden_layers': 3,
            'num_attention_heads': heads, 'max_position_embeddings': 512, 'word_embed_proj_dim': heads * head_dim,
            **more}


def mpt(heads: int, head_dim: int, **more: Any) -> dict[str, Any]:
    """Return the options of an MPT configuration."""
    return {'vocab_size': VOCAB, 'd_model': heads * head_dim, 'n_heads': heads, 'n_layers': 3, 'max_seq_len': 512,
            **more}


def scaled(kind: str, **more: Any) -> dict[str, Any]:
    """Return the option of scaled rotary positions."""
    return {'rope_scaling': {'rope_type': kind, **more}}


def factors(pairs: int) -> dict[str, Any]:
    """Return the factors of LongRoPE."""
    return {f'{name}_factor': [1.0 + step * i for i in range(pairs)] for name, step in (('short', 0.01), ('long', 0.5))}


_PHI = {'pad_token_id': 0}

# Name -> transformers' configuration, and its options.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    'llama 2, vicuna': ('LlamaConfig', sizes(3, 3, 128)),
    'llama 3': ('LlamaConfig', sizes(3, 1, 128, rope_theta=5e5)),
    'llama 3.1, rope llama3': ('LlamaConfig', sizes(3, 1, 64, tie_word_embeddings=True, **scaled(
        'llama3', factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64))),
    'llama, rope linear': ('LlamaConfig', sizes(3, 1, 32, **scaled('linear', factor=4.0))),
    'llama, rope dynamic': ('LlamaConfig', sizes(3, 1, 32, **scaled('dynamic', factor=4.0))),
    'llama, rope yarn': ('LlamaConfig', sizes(3, 1, 32, **scaled(
        'yarn', factor=8.0, original_max_position_embeddings=64))),
    'llama, biases everywhere': ('LlamaConfig', sizes(6, 2, 32, hidden=96, attention_bias=True, mlp_bias=True)),
    'smollm2': ('LlamaConfig', sizes(9, 3, 64, tie_word_embeddings=True)),
    'mistral, a window': ('MistralConfig', sizes(6, 2, 32, hidden=96, sliding_window=48)),
    'qwen2': ('Qwen2Config', sizes(7, 1, 64, tie_word_embeddings=True)),
    'qwen2, windows': ('Qwen2Config', sizes(
        3, 1, 128, use_sliding_window=True, sliding_window=40, max_window_layers=1)),
    'qwen3': ('Qwen3Config', sizes(3, 1, 128, hidden=160)),
    'phi3, a window': ('Phi3Config', sizes(3, 3, 96, sliding_window=72, **_PHI)),
    'phi3, longrope': ('Phi3Config', sizes(3, 3, 32, original_max_position_embeddings=512, **_PHI, **scaled(
        'longrope', **factors(16))) | {'max_position_embeddings': 4096}),
    'phi4 mini, part of the head': ('Phi3Config', sizes(
        3, 1, 128, partial_rotary_factor=0.75, tie_word_embeddings=True, **_PHI)),
    'gemma2': ('Gemma2Config', sizes(3, 1, 256, hidden=96, query_pre_attn_scalar=40, sliding_window=40,
                                     attn_logit_softcapping=5.0, final_logit_softcapping=8.0)),
    'gemma3': ('Gemma3TextConfig', sizes(3, 1, 256, hidden=96, query_pre_attn_scalar=40, sliding_window=40) | {
        'num_hidden_layers': 7}),
    'gemma3, rope linear': ('Gemma3TextConfig', sizes(
        6, 2, 32, hidden=96, sliding_window=40, sliding_window_pattern=3, **scaled('linear', factor=8.0))),
    'gemma3, one that sees images': ('Gemma3Config', {
        'text_config': sizes(3, 1, 64, hidden=96, sliding_window=40), 'mm_tokens_per_image': 4, 'vision_config': {
            'hidden_size': 32, 'intermediate_size': 64, 'num_hidden_layers': 1, 'num_attention_heads': 2,
            'image_size': 28, 'patch_size': 14}}),
    'opt': ('OPTConfig', opt(3, 64)),
    'opt, heads of 80': ('OPTConfig', opt(2, 80)),
    'opt 350m': ('OPTConfig', opt(3, 64, do_layer_norm_before=False, word_embed_proj_dim=96)),
    'opt, no last norm': ('OPTConfig', opt(3, 32, _remove_final_layer_norm=True, word_embed_proj_dim=160)),
    'mpt': ('MptConfig', mpt(3, 128)),
    'mpt, a power of two': ('MptConfig', mpt(4, 32, attn_config={'softmax_scale': 0.1})),
    'falcon 7b': ('FalconConfig', falcon(3)),
    'falcon 40b': ('FalconConfig', falcon(6, num_kv_heads=2, new_decoder_architecture=True, tie_word_embeddings=False)),
    'falcon 11b': ('FalconConfig', falcon(6, num_kv_heads=2, new_decoder_architecture=True,
                                          num_ln_in_parallel_attn=1)),
    'falcon, one after the other': ('FalconConfig', falcon(3, bias=True, parallel_attn=False)),
}


class Reference:
    """A model of transformers in float32."""

    def __init__(self, name: str, attention: str = 'eager', **changes: Any) -> None:
        """Make it, with random weights that bf16 holds; no norm and no bias is neutral."""
        kind, options = MODELS[name]
        torch.manual_seed(1)
        config = getattr(transformers, kind)(**{**options, **changes}, bos_token_id=1, eos_token_id=2)
        config._attn_implementation = attention
        self._model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
        with torch.no_grad():
            for tensor in self._model.parameters():
                noise = torch.randn_like(tensor)
                # The residual stream stays near 1, and what each part adds to it too.
                tensor.copy_(tensor + 0.2 * noise if tensor.dim() == 1 else noise * tensor.shape[1] ** -0.5)
                tensor.copy_(tensor.bfloat16().float())

    @property
    def config(self) -> Any:
        """The configuration of transformers."""
        return self._model.config

    @property
    def state(self) -> Mapping[str, torch.Tensor]:
        """Every weight, by its name in a checkpoint."""
        return cast(Mapping[str, torch.Tensor], self._model.state_dict())

    def save(self, directory: Path, dtype: torch.dtype = torch.bfloat16, shard: str = '5GB') -> Path:
        """Write the Hugging Face directory, with a tokenizer of bytes."""
        # A copy: the rotary tables would not come back from 16 bits.
        deepcopy(self._model).to(dtype).save_pretrained(directory, max_shard_size=shard)
        (directory / 'tokenizer.json').write_text(json.dumps(tokenizer()))
        return directory

    def load(self, weights: Mapping[str, Any]) -> None:
        """Replace some of the weights."""
        state = dict(self._model.state_dict())
        for name, values in weights.items():
            assert state[name].shape == values.shape
            state[name] = torch.from_numpy(np.ascontiguousarray(values))
        self._model.load_state_dict(state)

    def score(self, tokens: Sequence[int], dtype: torch.dtype = torch.float32) -> Logits:
        """Return the logits [n, vocab] after each token, computed in `dtype`."""
        model = self._model if dtype == torch.float32 else deepcopy(self._model).to(dtype)
        with torch.inference_mode():
            return cast(Logits, model(torch.tensor([tokens]), use_cache=False).logits[0].float().numpy())
