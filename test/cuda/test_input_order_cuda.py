# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Matrices that take their input in an order of their own: the CUDA backend against the CPU's, in the SIMT shim."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_forward import assert_as_near_as_the_cpu, BOUND, error, imported, library, logits

from tinychat_core.checkpoint.input_order import InputOrder
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.checkpoint.writer import CheckpointWriter
from tinychat_core.loading.reader import Checkpoint

pytestmark = pytest.mark.slow
assert library  # a fixture of every test here


def random_order(name: str, linear: Linear, manifest: Manifest, apart: bool) -> InputOrder | None:
    """Return an order for all rows, or `apart` one for each of q, k and v, gate and up."""
    model, kind = manifest.model, name.rpartition('.')[2]
    if name in ('embedding', 'positions'):
        return None
    rows: tuple[int, ...] = (linear.rows,)
    if apart and kind == 'qkv':
        rows = (model.heads * model.head_dim, *[model.kv_heads * model.head_dim] * 2)
    elif apart and kind == 'gate_up':
        rows = (linear.rows // 2,) * 2
    random = np.random.default_rng(sum(map(ord, name)))
    return InputOrder(rows, np.stack([random.permutation(linear.cols) for _ in rows]).astype(np.int32))


def with_orders(checkpoint: Path, out: Path, apart: bool) -> Path:
    """Write a checkpoint whose every matrix has its columns in random orders: another model, for both backends."""
    source = Checkpoint.open(checkpoint)
    manifest = source.manifest
    content = {name: source.array(name) if entry.format == 'f32' else replace(
        source.stored_linear(name), order=random_order(name, source.stored_linear(name), manifest, apart))
        for name, entry in manifest.tensors.items()}
    with CheckpointWriter(out, 1, {'of': str(apart)}) as writer:
        writer.add(lambda: content)
        writer.finish(family=manifest.family, model=manifest.model,
                      files={name: (checkpoint / name).read_bytes() for name in manifest.files})
    return out


@pytest.mark.parametrize(('name', 'apart'), [
    ('llama, biases everywhere', True), ('llama, biases everywhere', False), ('gemma2', True), ('opt 350m', True),
    ('falcon 7b', False)])
def test_four_bits_equal_the_cpu(name: str, apart: bool, tmp_path: Path) -> None:
    plain = imported(name, 'W4', tmp_path)
    checkpoint = with_orders(plain, tmp_path / 'ordered', apart)
    cpu = logits(checkpoint, 'W4A16', 'cpu')
    assert error(logits(checkpoint, 'W4A16', 'cuda'), cpu) < BOUND / 2
    assert error(logits(plain, 'W4A16', 'cpu'), cpu) > 10 * BOUND  # the order matters


@pytest.mark.parametrize('apart', [False, True])
def test_bytes_are_as_near_as_those_of_the_cpu(apart: bool, tmp_path: Path) -> None:
    plain = imported('llama, biases everywhere', 'W8', tmp_path)
    assert_as_near_as_the_cpu(with_orders(plain, tmp_path / 'ordered', apart))
