# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A LLaMA of two layers in a GGUF file: odd sizes wherever the format allows them."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from core.plain_gguf import Array, BLOCKS, random_tensor, Tensor, write
import numpy as np

VOCAB, HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, DIM = 259, 64, 96, 2, 3, 1, 32


def metadata() -> dict[str, Any]:
    """Return the metadata, with a vocabulary of bytes and three control tokens."""
    # GPT-2's letters for bytes: printable ones stand for themselves, the others are shifted out of the way.
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}
    return {
        'general.architecture': 'llama',
        'llama.embedding_length': HIDDEN,
        'llama.feed_forward_length': INNER,
        'llama.block_count': LAYERS,
        'llama.attention.head_count': HEADS,
        'llama.attention.head_count_kv': KV_HEADS,
        'llama.attention.key_length': DIM,
        'llama.context_length': 128,
        'llama.attention.layer_norm_rms_epsilon': 1e-5,
        'llama.rope.freq_base': 10000.0,
        'tokenizer.ggml.model': 'gpt2',
        'tokenizer.ggml.pre': 'smollm',
        'tokenizer.ggml.tokens': ['<|endoftext|>', '<|im_start|>', '<|im_end|>',
                                  *(letters[i] for i in range(256))],
        'tokenizer.ggml.token_type': [3, 3, 3] + [1] * 256,
        'tokenizer.ggml.merges': [],
        'tokenizer.ggml.bos_token_id': 1,
        'tokenizer.ggml.eos_token_id': 2,
        'tokenizer.chat_template': '{% for m in messages %}{{ m.content }}{% endfor %}',
    }


def shapes(tied: bool = True, inner: int = INNER) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by GGUF's name."""
    layer = {'attn_norm': (HIDDEN,), 'attn_q': (HEADS * DIM, HIDDEN), 'attn_k': (KV_HEADS * DIM, HIDDEN),
             'attn_v': (KV_HEADS * DIM, HIDDEN), 'attn_output': (HIDDEN, HEADS * DIM), 'ffn_norm': (HIDDEN,),
             'ffn_gate': (inner, HIDDEN), 'ffn_up': (inner, HIDDEN), 'ffn_down': (HIDDEN, inner)}
    return {'token_embd.weight': (VOCAB, HIDDEN),
            **{f'blk.{i}.{name}.weight': shape for i in range(LAYERS) for name, shape in layer.items()},
            'output_norm.weight': (HIDDEN,), **({} if tied else {'output.weight': (VOCAB, HIDDEN)})}


def tensors(kind: str = 'Q4_1', kinds: dict[str, str] | None = None, tied: bool = True,
            seed: int = 0, inner: int = INNER) -> dict[str, Tensor]:
    """Return random tensors: matrices of `kind`, those whose name contains a key of `kinds` of its value."""
    random = np.random.default_rng(seed)

    def kind_of(name: str, shape: tuple[int, ...]) -> str:
        if len(shape) == 1:
            return 'F32'
        return next((other for part, other in (kinds or {}).items() if part in name), kind)

    return {name: random_tensor(kind_of(name, shape), shape, random) for name, shape in shapes(tied, inner).items()}


def save(path: Path, made: dict[str, Tensor], **changes: Any) -> Path:
    """Write the tensors with the metadata; a change of None leaves a key out."""
    changed = {**metadata(), **{key.replace('__', '.'): value for key, value in changes.items()}}
    return write(path, {key: value for key, value in changed.items() if value is not None}, made)


def for_interleaved(tensor: Tensor, heads: int) -> Tensor:
    """Return q or k as llama.cpp's converter stores it: the two halves of each head's rows alternate."""
    numbers, size = BLOCKS[tensor.kind]
    rows = np.frombuffer(tensor.data, np.uint8).reshape(heads, 2, tensor.shape[0] // heads // 2, -1)
    assert rows.shape[-1] * numbers == size * int(np.prod(tensor.shape[1:]))
    return Tensor(tensor.kind, tensor.shape, rows.swapaxes(1, 2).tobytes())


def expected(made: dict[str, Tensor]) -> dict[str, Array]:
    """Return what the checkpoint must hold, by our names; q and k are in Hugging Face's order."""
    values = {name.removesuffix('.weight'): tensor.values() for name, tensor in made.items()}
    result = {'embedding': values['token_embd'], 'norm.weight': values['output_norm']}
    if 'output' in values:
        result['head'] = values['output']
    for i in range(LAYERS):
        theirs = {'attn_norm.weight': ['attn_norm'], 'attn.qkv': ['attn_q', 'attn_k', 'attn_v'],
                  'attn.o': ['attn_output'], 'mlp_norm.weight': ['ffn_norm'],
                  'mlp.gate_up': ['ffn_gate', 'ffn_up'], 'mlp.down': ['ffn_down']}
        ours = {name: np.concatenate([values[f'blk.{i}.{part}'] for part in parts])
                for name, parts in theirs.items()}
        result |= {f'layers.{i}.{name}': array for name, array in ours.items()}
    return result


def interleaved(made: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return all tensors as a GGUF file has them."""
    stored = dict(made)
    for i in range(LAYERS):
        for name, heads in (('attn_q', HEADS), ('attn_k', KV_HEADS)):
            for part in ('weight', 'bias'):
                if f'blk.{i}.{name}.{part}' in made:
                    stored[f'blk.{i}.{name}.{part}'] = for_interleaved(made[f'blk.{i}.{name}.{part}'], heads)
    return stored
