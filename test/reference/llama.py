# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""transformers' LLaMA in float32 on the weights of a split checkpoint."""
from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from reference.split_checkpoint import weights

Logits = npt.NDArray[np.float32]


class Llama:
    """The model that a checkpoint stands for; its configuration is that of config.json."""

    def __init__(self, checkpoint: Path) -> None:
        """Build the model and give it every weight, each exactly once."""
        config = LlamaConfig(**json.loads((checkpoint / 'config.json').read_text(encoding='utf-8')))
        config._attn_implementation = 'eager'
        with torch.device('meta'):
            model = LlamaForCausalLM(config)
        state = _renamed(weights(checkpoint), config)
        # Rotary tables are no weights: they are computed anew where there is memory for them.
        model.to_empty(device='cpu')
        model.model.rotary_emb = type(model.model.rotary_emb)(config)
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected
        assert set(missing) <= ({'lm_head.weight'} if config.tie_word_embeddings else set())
        model.tie_weights()
        self._model = model.float().eval()

    def score(self, tokens: Sequence[int]) -> Logits:
        """Return the logits [n, vocab] after each of the tokens."""
        with torch.inference_mode():
            return cast(Logits, self._model(torch.tensor([tokens])).logits[0].numpy())


def _renamed(ours: dict[str, Any], config: LlamaConfig) -> dict[str, torch.Tensor]:
    head = config.hidden_size // config.num_attention_heads
    q, k = config.num_attention_heads * head, config.num_key_value_heads * head
    parts: dict[str, Any] = {'model.embed_tokens.weight': ours.pop('embedding'),
                             'model.norm.weight': ours.pop('norm.weight')}
    if 'head' in ours:
        parts['lm_head.weight'] = ours.pop('head')
    for i in range(config.num_hidden_layers):
        def take(name: str, layer: int = i) -> Any:
            return ours.pop(f'layers.{layer}.{name}')

        theirs = f'model.layers.{i}.'
        qkv, gate_up = take('attn.qkv'), take('mlp.gate_up')
        parts |= {
            theirs + 'input_layernorm.weight': take('attn_norm.weight'),
            theirs + 'self_attn.q_proj.weight': qkv[:q],
            theirs + 'self_attn.k_proj.weight': qkv[q:q + k],
            theirs + 'self_attn.v_proj.weight': qkv[q + k:],
            theirs + 'self_attn.o_proj.weight': take('attn.o'),
            theirs + 'post_attention_layernorm.weight': take('mlp_norm.weight'),
            theirs + 'mlp.gate_proj.weight': gate_up[:config.intermediate_size],
            theirs + 'mlp.up_proj.weight': gate_up[config.intermediate_size:],
            theirs + 'mlp.down_proj.weight': take('mlp.down'),
        }
    assert not ours, f'the reference has no place for {sorted(ours)}'
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in parts.items()}
