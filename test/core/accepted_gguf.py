# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: GGUF files."""
from __future__ import annotations

from collections.abc import Callable, Sequence
import os
from pathlib import Path
from typing import Any

import numpy as np
from plain_gguf import Tensor, write_parts
import tiny_llama

Case = Callable[[Path], Sequence[str]]


def kind(name: str, **kinds: str) -> Case:
    """Return a file whose matrices have a type; those whose name contains a key another one."""
    return tensors(lambda: tiny_llama.tensors(name, kinds))


def tensors(make: Callable[[], dict[str, Tensor]], **changes: Any) -> Case:
    def case(tmp_path: Path) -> Sequence[str]:
        return [str(tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.interleaved(make()), **changes))]

    return case


def keys(**changes: Any) -> Case:
    """Return a file with some metadata changed, `__` for a dot."""
    return tensors(tiny_llama.tensors, **changes)


def tokenizer(**changes: Any) -> Case:
    """Return a file with some keys of the tokenizer changed."""
    return keys(**{f'tokenizer__ggml__{key}': value for key, value in changes.items()})


def one_matrix(name: str) -> Case:
    """Return a file with one matrix of a type of 256 columns a block: its down projection is made wide enough."""
    return tensors(lambda: tiny_llama.tensors('Q4_0', {'ffn_down': name}, inner=256), llama__feed_forward_length=256)


def fine(name: str) -> dict[str, Tensor]:
    """Return tensors of which the embedding has numbers that no 16 bits hold."""
    made = tiny_llama.tensors('Q4_0')
    shape = made['token_embd.weight'].shape
    numbers = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    stored = numbers if name == 'F32' else numbers.astype(np.float64)
    return {**made, 'token_embd.weight': Tensor(name, shape, stored.tobytes())}


def changed(change: Callable[[bytearray], object]) -> Case:
    """Return a file with some bytes changed."""
    def case(tmp_path: Path) -> Sequence[str]:
        path = tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.tensors())
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)
        return [str(path)]

    return case


def number(type_: int) -> Callable[[bytearray], object]:
    """Give a matrix a type by its number."""
    def change(data: bytearray) -> None:
        at = data.index(b'blk.1.ffn_up.weight') + len('blk.1.ffn_up.weight') + 4 + 16
        data[at:at + 4] = type_.to_bytes(4, 'little')

    return change


def twice(name: bytes, other: bytes) -> Callable[[bytearray], object]:
    """Give `other` a name that is there already, and as long."""
    def change(data: bytearray) -> None:
        at = data.index(other)
        data[at:at + len(name)] = name

    return change


def dimensions(count: int) -> Callable[[bytearray], object]:
    """Say that a tensor has so many."""
    def change(data: bytearray) -> None:
        at = data.index(b'blk.1.ffn_up.weight') + len('blk.1.ffn_up.weight')
        data[at:at + 4] = count.to_bytes(4, 'little')
        data.extend(bytes(8 * count))

    return change


def part(number: int, missing: int | None = None, named: int | None = None) -> Case:
    """Return a part of three, without one of them, or called as if it were another."""
    def case(tmp_path: Path) -> Sequence[str]:
        made = tiny_llama.interleaved(tiny_llama.tensors())
        paths = write_parts(tmp_path, tiny_llama.metadata(), made, 3)
        if missing is not None:
            paths[missing].unlink()
        if named is not None:
            paths[number].replace(paths[named])
            paths[number].write_bytes(paths[0].read_bytes())
        return [str(paths[0 if named is not None else number])]

    return case


def piece(ending: str) -> Case:
    def case(tmp_path: Path) -> Sequence[str]:
        return [str(tiny_llama.save(tmp_path / f'tiny.gguf{ending}', tiny_llama.tensors()))]

    return case


def pipe(tmp_path: Path) -> Sequence[str]:
    os.mkfifo(tmp_path / 'tiny.gguf')
    return [str(tmp_path / 'tiny.gguf')]


CASES: dict[str, list[Case]] = {
    'matrices of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F16 or BF16':
        [kind(name) for name in ('Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'F16', 'BF16')],
    'Q3_K, Q4_K, Q5_K, Q6_K': [one_matrix(name) for name in ('Q3_K', 'Q4_K', 'Q5_K', 'Q6_K')],
    'TQ1_0, TQ2_0': [one_matrix('TQ1_0'), one_matrix('TQ2_0')],
    'IQ4_NL, also in files named Q2_K or Q3_K': [kind('Q4_0', ffn_down='IQ4_NL'), kind('IQ4_NL')],
    'IQ4_XS': [one_matrix('IQ4_XS')],
    'MXFP4': [kind('MXFP4')],
    'Q2_K': [one_matrix('Q2_K')],
    'matrices of F32 or F64 whose values fit into 16 bits': [
        kind('F32'), kind('F64'), kind('Q4_0', token_embd='F32')],
    'other matrices of F32 or F64': [tensors(lambda: fine('F32')), tensors(lambda: fine('F64'))],
    'q, k and v, or gate and up, of different types, of which some may not be quantized': [
        kind('Q8_0', attn_v='BF16'), kind('Q4_0', attn_v='Q8_0'), kind('Q5_0', ffn_up='F16')],
    'IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, NVFP4, Q1_0, Q4_0_4_4, I8 and other types': [
        changed(number(name)) for name in (16, 17, 18, 19, 21, 22, 24, 27, 29, 31, 40, 41, 99)],
    'parts `NAME-00001-of-0000N.gguf`, from any of them': [part(0), part(2)],
    'parts, but one is missing': [part(0, missing=1)],
    'parts that contradict each other': [part(1, named=2), part(2, named=1)],
    'a piece of a split file (`.part1of2`, `-split-a`)': [piece('.part1of2'), piece('-split-a')],
    'a pipe or a device': [lambda _: ['/dev/zero'], pipe],
    'files for big-endian machines': [changed(lambda data: data.__setitem__(slice(4, 8), b'\0\0\0\3'))],
    'a duplicate key or tensor, a count larger than the file': [
        changed(twice(b'tokenizer.ggml.bos_token_id', b'tokenizer.ggml.eos_token_id')),
        changed(twice(b'blk.0.ffn_up.weight', b'blk.1.ffn_up.weight')),
        changed(lambda data: data.__setitem__(slice(8, 16), b'\xff' * 8)),
        changed(lambda data: data.__setitem__(slice(16, 24), b'\xff' * 8)),
        changed(dimensions(100000))],
    'metadata with a value that has no effect': [
        keys(llama__rope__scale_linear=1.0), keys(llama__pooling_type=0), keys(llama__attention__head_count_kv=[1, 1]),
        keys(llama__rope__scaling__attn_factor=1.0), keys(llama__attention__sliding_window=0)],
    'a RoPE scaling factor without a type': [keys(llama__rope__scaling__factor=4.0)],
    'an embedding model': [keys(llama__pooling_type=3)],
    'metadata that changes the model and is not supported': [
        keys(llama__attention__clamp_kqv=8.0), keys(llama__attention__head_count_kv=[1, 3])],
    'a key of `general` or `tokenizer` with the wrong type, such as the string "false" instead of a boolean': [
        *(tokenizer(**{key: value}) for key, value in {
            'add_bos_token': 'false', 'add_eos_token': 'true', 'add_space_prefix': 'false', 'add_sep_token': 2,
            'remove_extra_whitespaces': '', 'bos_token_id': '1', 'eos_token_id': 2.0, 'eot_token_id': True,
            'unknown_token_id': [0], 'model': 5, 'pre': 7, 'token_type': ['3'] * 259, 'scores': ['0'] * 259,
            'merges': [1, 2], 'suppress_tokens': 7}.items()),
        keys(general__architecture=1), keys(general__type=2), keys(general__name=3),
        keys(tokenizer__chat_template=['{{ messages }}']), keys(tokenizer__chat_template__rag=1)],
    'a boolean as 1 or 0, an unknown token type': [
        tokenizer(add_bos_token=0), tokenizer(add_space_prefix=1), tokenizer(token_type=[3] * 3 + [1] * 255 + [99])],
    'more decoder layers than tensors': [keys(llama__block_count=10**6), keys(llama__block_count=2**32 - 1)],
    'an adapter or a projector': [keys(general__type='adapter'), keys(general__type='mmproj')],
    'an unsupported architecture': [keys(general__architecture='mamba')],
}
