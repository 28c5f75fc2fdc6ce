# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""GGUF as its documentation says it, written and read without the package's own code."""
from __future__ import annotations

from pathlib import Path
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NUMBERS = {'F32': 0, 'F16': 1, 'Q4_0': 2, 'Q4_1': 3, 'Q5_0': 6, 'Q5_1': 7, 'Q8_0': 8, 'Q2_K': 10, 'Q3_K': 11,
           'Q4_K': 12, 'Q5_K': 13, 'Q6_K': 14, 'IQ2_XXS': 16, 'IQ4_NL': 20, 'IQ4_XS': 23, 'I8': 24, 'F64': 28,
           'BF16': 30, 'TQ1_0': 34, 'TQ2_0': 35, 'MXFP4': 39}
KINDS = {number: kind for kind, number in NUMBERS.items()}
# Numbers and bytes of a block.
BLOCKS = {'F32': (1, 4), 'F16': (1, 2), 'BF16': (1, 2), 'Q4_0': (32, 18), 'Q4_1': (32, 20), 'Q8_0': (32, 34),
          'Q5_0': (32, 22), 'Q5_1': (32, 24), 'Q2_K': (256, 84), 'Q3_K': (256, 110), 'Q4_K': (256, 144),
          'Q5_K': (256, 176), 'Q6_K': (256, 210), 'IQ2_XXS': (256, 66), 'IQ4_NL': (32, 18), 'IQ4_XS': (256, 136),
          'I8': (1, 1), 'F64': (1, 8), 'TQ1_0': (256, 54), 'TQ2_0': (256, 66), 'MXFP4': (32, 17)}
# Where the fp16 numbers of a block are; the others are integers.
HALVES = {'Q4_0': (0,), 'Q4_1': (0, 2), 'Q5_0': (0,), 'Q5_1': (0, 2), 'Q8_0': (0,), 'Q2_K': (80, 82), 'Q3_K': (108,),
          'Q4_K': (0, 2), 'Q5_K': (0, 2), 'Q6_K': (208,), 'IQ2_XXS': (0,),
          'IQ4_NL': (0,), 'IQ4_XS': (0,), 'I8': (), 'TQ1_0': (52,), 'TQ2_0': (64,), 'MXFP4': ()}
IQ4_NL = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float64)
_STRUCT = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}


class Tensor:
    """A tensor as it is stored: its kind, shape [rows, cols] or [n], and bytes."""

    def __init__(self, kind: str, shape: tuple[int, ...], data: bytes) -> None:
        self.kind, self.shape, self.data = kind, shape, data

    def values(self) -> Array:
        """Return what the bytes mean, float32, block by block."""
        numbers, size = BLOCKS[self.kind]
        raw = np.frombuffer(self.data, np.uint8).reshape(-1, size)
        if self.kind in ('F32', 'F64'):
            flat: Array = raw.copy().view(np.float32 if self.kind == 'F32' else np.float64)
        elif self.kind == 'F16':
            flat = raw.copy().view(np.float16).astype(np.float32)
        elif self.kind == 'BF16':
            flat = np.concatenate([np.zeros_like(raw), raw], axis=1).view(np.float32)
        else:
            d = raw[:, :2].copy().view(np.float16).astype(np.float64)
            if self.kind == 'Q8_0':
                flat = d * raw[:, 2:].view(np.int8)
            elif self.kind == 'IQ4_NL':
                flat = d * IQ4_NL[np.concatenate([raw[:, 2:] % 16, raw[:, 2:] // 16], axis=1)]
            elif self.kind in ('Q5_0', 'Q5_1'):
                nibbles = raw[:, -16:]
                q = np.concatenate([nibbles % 16, nibbles // 16], axis=1) + 16.0 * np.unpackbits(
                    raw[:, -20:-16], axis=1, bitorder='little')
                flat = d * (q - 16) if self.kind == 'Q5_0' else d * q + raw[:, 2:4].copy().view(np.float16)
            else:
                nibbles = raw[:, 2 if self.kind == 'Q4_0' else 4:]
                q = np.concatenate([nibbles % 16, nibbles // 16], axis=1).astype(np.float64)
                flat = d * (q - 8) if self.kind == 'Q4_0' else d * q + raw[:, 2:4].copy().view(np.float16)
        assert flat.size * size == numbers * len(self.data)
        return flat.astype(np.float32).reshape(self.shape)


def random_tensor(kind: str, shape: tuple[int, ...], random: np.random.Generator) -> Tensor:
    """Return a tensor of that kind whose numbers are all finite."""
    count = int(np.prod(shape))
    if kind in ('F32', 'F64'):
        # Such as fp16 holds them: F32 is only imported where nothing is lost.
        return Tensor(kind, shape, random.normal(size=count).astype(np.float16).astype(
            np.float32 if kind == 'F32' else np.float64).tobytes())
    if kind == 'F16':
        return Tensor(kind, shape, random.normal(size=count).astype(np.float16).tobytes())
    if kind == 'BF16':
        return Tensor(kind, shape, (random.normal(size=count).astype(np.float32).view(np.uint32) >> 16)
                      .astype(np.uint16).tobytes())
    numbers, size = BLOCKS[kind]
    blocks = random.integers(0, 256, (count // numbers, size), dtype=np.uint8)
    for at in HALVES[kind]:
        halves = random.normal(scale=0.1, size=(len(blocks), 1)).astype(np.float16)
        blocks[:, at:at + 2] = halves.view(np.uint8)
    if kind == 'MXFP4':
        blocks[:, 0] = random.integers(115, 130, len(blocks))
    if kind == 'TQ2_0':
        blocks[:, :64] &= ~(blocks[:, :64] >> 1 & 0x55)
    return Tensor(kind, shape, blocks.tobytes())


def write(path: Path, metadata: dict[str, Any], tensors: dict[str, Tensor], version: int = 3) -> Path:
    """Write a GGUF file; integers become u32, lists of them i32, floats f32."""
    head = bytearray(b'GGUF' + struct.pack('<IQQ', version, len(tensors), len(metadata)))
    for key, value in metadata.items():
        head += _text(key) + _value(value)
    body = bytearray()
    for name, tensor in tensors.items():
        body += bytes(-len(body) % 32)
        head += _text(name) + struct.pack('<I', len(tensor.shape))
        head += b''.join(struct.pack('<Q', size) for size in reversed(tensor.shape))
        head += struct.pack('<IQ', NUMBERS[tensor.kind], len(body))
        body += tensor.data
    path.write_bytes(head + bytes(-len(head) % 32) + body)
    return path


def write_parts(directory: Path, metadata: dict[str, Any], tensors: dict[str, Tensor], count: int,
                prefix: str = 'tiny') -> list[Path]:
    """Write a model in parts, as llama.cpp's gguf-split does: the first has the metadata, each some tensors."""
    names, paths = list(tensors), []
    for number in range(count):
        keys = {'split.no': number, 'split.count': count, 'split.tensors.count': len(names)}
        part = {name: tensors[name] for name in names[number * len(names) // count:(number + 1) * len(names) // count]}
        path = directory / f'{prefix}-{number + 1:05}-of-{count:05}.gguf'
        paths.append(write(path, {**(metadata if number == 0 else {}), **keys}, part))
    return paths


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the metadata and the tensors of a GGUF file."""
    data, position = path.read_bytes(), 8

    def take(letter: str) -> Any:
        nonlocal position
        (value,) = struct.unpack_from('<' + letter, data, position)
        position += struct.calcsize(letter)
        return value

    def text() -> str:
        nonlocal position
        length = take('Q')
        position += length
        return data[position - length:position].decode()

    def value(kind: int) -> Any:
        if kind == 8:
            return text()
        if kind == 9:
            item, count = take('I'), take('Q')
            return [value(item) for _ in range(count)]
        return take(_STRUCT[kind])

    count, keys = take('Q'), take('Q')
    metadata = {text(): value(take('I')) for _ in range(keys)}
    infos = [(text(), tuple(take('Q') for _ in range(take('I')))[::-1], KINDS[take('I')], take('Q'))
             for _ in range(count)]
    start = -(-position // 32) * 32
    tensors = {}
    for name, shape, kind, offset in infos:
        numbers, size = BLOCKS[kind]
        length = int(np.prod(shape)) // numbers * size
        tensors[name] = Tensor(kind, shape, data[start + offset:start + offset + length])
    return metadata, tensors


def _text(text: str) -> bytes:
    return struct.pack('<Q', len(text.encode())) + text.encode()


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack('<I?', 7, value)
    if isinstance(value, int):
        return struct.pack('<II', 4, value)
    if isinstance(value, float):
        return struct.pack('<If', 6, value)
    if isinstance(value, str):
        return struct.pack('<I', 8) + _text(value)
    if all(isinstance(item, str) for item in value):
        return struct.pack('<IIQ', 9, 8, len(value)) + b''.join(map(_text, value))
    if isinstance(value[0], float):
        return struct.pack(f'<IIQ{len(value)}f', 9, 6, len(value), *value)
    return struct.pack('<IIQ', 9, 5, len(value)) + b''.join(struct.pack('<i', item) for item in value)
