# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A small random model of each family, from transformers' own classes: at least three layers, odd head counts."""
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
_SIZES = {'vocab_size': VOCAB, 'hidden_size': 96, 'intermediate_size': 160, 'num_hidden_layers': 3,
          'num_attention_heads': 3, 'num_key_value_heads': 1, 'max_position_embeddings': 512}
_GROUPED = {**_SIZES, 'num_attention_heads': 6, 'num_key_value_heads': 2, 'head_dim': 32}
_LONG = [1.0 + 0.5 * i for i in range(16)]

# Name -> transformers' configuration, and its options.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    'llama': ('LlamaConfig', {**_SIZES, 'rope_theta': 5e5}),
    'llama with biases': ('LlamaConfig', {**_GROUPED, 'attention_bias': True, 'mlp_bias': True}),
    'smollm2': ('LlamaConfig', {**_GROUPED, 'tie_word_embeddings': True, 'hidden_size': 192}),
    'llama, rope llama3': ('LlamaConfig', {**_SIZES, 'rope_scaling': {
        'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
        'original_max_position_embeddings': 64}}),
    'llama, rope linear': ('LlamaConfig', {**_SIZES, 'rope_scaling': {'rope_type': 'linear', 'factor': 4.0}}),
    'llama, rope dynamic': ('LlamaConfig', {**_SIZES, 'rope_scaling': {'rope_type': 'dynamic', 'factor': 4.0}}),
    'llama, rope yarn': ('LlamaConfig', {**_SIZES, 'rope_scaling': {
        'rope_type': 'yarn', 'factor': 8.0, 'original_max_position_embeddings': 64}}),
    'mistral': ('MistralConfig', {**_GROUPED, 'sliding_window': 48}),
    'qwen2': ('Qwen2Config', {**_GROUPED, 'hidden_size': 192}),
    'qwen2 with windows': ('Qwen2Config', {**_SIZES, 'use_sliding_window': True, 'sliding_window': 40,
                                           'max_window_layers': 1}),
    'qwen3': ('Qwen3Config', {**_GROUPED}),
    'phi3': ('Phi3Config', {**_SIZES, 'sliding_window': 72, 'pad_token_id': 0}),
    'phi3, part of the head': ('Phi3Config', {**_SIZES, 'partial_rotary_factor': 0.5, 'pad_token_id': 0}),
    'phi3, longrope': ('Phi3Config', {
        **_SIZES, 'pad_token_id': 0, 'max_position_embeddings': 4096, 'original_max_position_embeddings': 512,
        'rope_scaling': {'rope_type': 'longrope', 'short_factor': [1.0 + 0.01 * i for i in range(16)],
                         'long_factor': _LONG}}),
    'gemma2': ('Gemma2Config', {**_GROUPED, 'query_pre_attn_scalar': 40, 'sliding_window': 40,
                                'attn_logit_softcapping': 5.0, 'final_logit_softcapping': 8.0}),
    'gemma3': ('Gemma3TextConfig', {**_GROUPED, 'num_hidden_layers': 7, 'query_pre_attn_scalar': 40,
                                    'sliding_window': 40}),
    'gemma3, rope linear': ('Gemma3TextConfig', {
        **_GROUPED, 'num_hidden_layers': 3, 'sliding_window': 40, 'sliding_window_pattern': 3,
        'rope_scaling': {'rope_type': 'linear', 'factor': 8.0}}),
    'opt': ('OPTConfig', {'vocab_size': VOCAB, 'hidden_size': 96, 'ffn_dim': 160, 'num_hidden_layers': 3,
                          'num_attention_heads': 3, 'max_position_embeddings': 512, 'word_embed_proj_dim': 96}),
    'mpt': ('MptConfig', {'vocab_size': VOCAB, 'd_model': 96, 'n_heads': 3, 'n_layers': 3, 'max_seq_len': 512}),
    'mpt, a power of two': ('MptConfig', {'vocab_size': VOCAB, 'd_model': 128, 'n_heads': 4, 'n_layers': 3,
                                          'max_seq_len': 512, 'attn_config': {'softmax_scale': 0.1}}),
    'falcon 7b': ('FalconConfig', {'vocab_size': VOCAB, 'hidden_size': 96, 'num_hidden_layers': 3,
                                   'num_attention_heads': 3, 'max_position_embeddings': 512}),
    'falcon 40b': ('FalconConfig', {'vocab_size': VOCAB, 'hidden_size': 192, 'num_hidden_layers': 3,
                                    'num_attention_heads': 6, 'num_kv_heads': 2, 'new_decoder_architecture': True,
                                    'max_position_embeddings': 512, 'tie_word_embeddings': False}),
    'falcon 11b': ('FalconConfig', {'vocab_size': VOCAB, 'hidden_size': 192, 'num_hidden_layers': 3,
                                    'num_attention_heads': 6, 'num_kv_heads': 2, 'new_decoder_architecture': True,
                                    'num_ln_in_parallel_attn': 1, 'max_position_embeddings': 512}),
    'falcon, one after the other': ('FalconConfig', {
        'vocab_size': VOCAB, 'hidden_size': 96, 'num_hidden_layers': 3, 'num_attention_heads': 3, 'bias': True,
        'parallel_attn': False, 'max_position_embeddings': 512}),
}


class Reference:
    """A model of transformers in float32."""

    def __init__(self, name: str, **changes: Any) -> None:
        """Make it, with random weights that bf16 holds; no norm and no bias is neutral."""
        kind, options = MODELS[name]
        torch.manual_seed(1)
        config = getattr(transformers, kind)(**{**options, **changes}, bos_token_id=1, eos_token_id=2)
        config._attn_implementation = 'eager'
        self._model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
        with torch.no_grad():
            for tensor in self._model.parameters():
                noise = torch.randn_like(tensor)
                # The residual stream stays near 1, and what each part adds to it too.
                tensor.copy_(tensor + 0.2 * noise if tensor.dim() == 1 else noise * tensor.shape[1] ** -0.5)
                tensor.copy_(tensor.bfloat16().float())

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

    def score(self, tokens: Sequence[int]) -> Logits:
        """Return the logits [n, vocab] after each token."""
        with torch.inference_mode():
            return cast(Logits, self._model(torch.tensor([tokens]), use_cache=False).logits[0].numpy())
