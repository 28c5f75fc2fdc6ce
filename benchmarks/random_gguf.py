# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Write a GGUF file of the LLaMA-2-7B shape with random Q4_0 weights, to measure the speed of peers."""
from __future__ import annotations

import os
from pathlib import Path
import struct
from typing import Any

HIDDEN, INTERMEDIATE, LAYERS, HEADS, VOCAB, CONTEXT = 4096, 11008, 32, 32, 32000, 4096
F32, Q4_0, Q8_0 = 0, 2, 8
BLOCK_BYTES = {Q4_0: 18, Q8_0: 34}  # of 32 weights: an fp16 scale, then the integers
SCALE = struct.pack('<e', 1e-3)


def write_random_gguf(path: Path) -> None:
    """Write the file. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""
    matrices: dict[str, tuple[int, int, int]] = {'token_embd.weight': (VOCAB, HIDDEN, Q4_0),
                                                 'output.weight': (VOCAB, HIDDEN, Q8_0)}
    norms = ['output_norm.weight']
    for i in range(LAYERS):
        norms += [f'blk.{i}.attn_norm.weight', f'blk.{i}.ffn_norm.weight']
        for name, rows, cols in (('attn_q', HIDDEN, HIDDEN), ('attn_k', HIDDEN, HIDDEN), ('attn_v', HIDDEN, HIDDEN),
                                 ('attn_output', HIDDEN, HIDDEN), ('ffn_gate', INTERMEDIATE, HIDDEN),
                                 ('ffn_up', INTERMEDIATE, HIDDEN), ('ffn_down', HIDDEN, INTERMEDIATE)):
            matrices[f'blk.{i}.{name}.weight'] = rows, cols, Q4_0
    tokens = ['<unk>', '<s>', '</s>', *(f'<0x{byte:02X}>' for byte in range(256))]
    tokens += [f'▁t{i}' for i in range(VOCAB - len(tokens))]
    metadata: dict[str, Any] = {
        'general.architecture': 'llama', 'llama.context_length': CONTEXT, 'llama.embedding_length': HIDDEN,
        'llama.block_count': LAYERS, 'llama.feed_forward_length': INTERMEDIATE, 'llama.vocab_size': VOCAB,
        'llama.attention.head_count': HEADS, 'llama.attention.head_count_kv': HEADS,
        'llama.rope.dimension_count': HIDDEN // HEADS, 'llama.attention.layer_norm_rms_epsilon': 1e-5,
        'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.scores': [0.0] * VOCAB,
        'tokenizer.ggml.token_type': [2, 3, 3, *[6] * 256, *[1] * (VOCAB - 259)],
        'tokenizer.ggml.bos_token_id': 1, 'tokenizer.ggml.eos_token_id': 2}
    head = bytearray(b'GGUF' + struct.pack('<IQQ', 3, len(norms) + len(matrices), len(metadata)))
    for key, value in metadata.items():
        head += text(key) + encoded(value)
    offset = 0
    sizes = []
    for name in norms:
        head += text(name) + struct.pack('<IQIQ', 1, HIDDEN, F32, offset)
        sizes.append((F32, 4 * HIDDEN))
        offset += 4 * HIDDEN
    for name, (rows, cols, kind) in matrices.items():
        head += text(name) + struct.pack('<IQQIQ', 2, cols, rows, kind, offset)
        sizes.append((kind, rows * cols // 32 * BLOCK_BYTES[kind]))
        offset += -(-sizes[-1][1] // 32) * 32
    noise = {kind: b''.join(SCALE + os.urandom(size - 2) for _ in range(1 << 16)) for kind, size in BLOCK_BYTES.items()}
    partial = path.with_suffix('.partial')
    with partial.open('wb') as file:
        file.write(head + bytes(-len(head) % 32))
        for kind, size in sizes:
            if kind == F32:
                file.write(struct.pack('<f', 1.0) * (size // 4))
                continue
            for start in range(0, size, len(noise[kind])):
                file.write(noise[kind][:size - start])
            file.write(bytes(-size % 32))
    partial.rename(path)


def text(value: str) -> bytes:
    """Encode a GGUF string."""
    return struct.pack('<Q', len(value.encode())) + value.encode()


def encoded(value: Any) -> bytes:
    """Encode a GGUF metadata value with its type."""
    if isinstance(value, str):
        return struct.pack('<I', 8) + text(value)
    if isinstance(value, int):
        return struct.pack('<II', 4, value)
    if isinstance(value, float):
        return struct.pack('<If', 6, value)
    if isinstance(value[0], str):
        kind, items = 8, map(text, value)
    else:
        kind, code = (6, '<f') if isinstance(value[0], float) else (5, '<i')
        items = (struct.pack(code, item) for item in value)
    return struct.pack('<IIQ', 9, kind, len(value)) + b''.join(items)
