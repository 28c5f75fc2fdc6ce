# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""GPTQ's order by activation: groups whose columns lie anywhere arrive exactly, and the decoder follows their order."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from importing import imported, refused
import numpy as np
import packed_formats as packed
from packed_formats import GPTQ, GPTQ8, MATRICES, W4A16
import pytest
from small_huggingface import CONFIG, expected, save
import torch

from tinychat_core.checkpoint.input_order import InputOrder
from tinychat_core.engine import Engine
from tinychat_core.errors import CheckpointError
from tinychat_core.importers.split import split
from tinychat_core.loading.reader import Checkpoint

DESC_ACT = {**GPTQ, 'desc_act': True}
TOKENS = [1, 5, 99, 200, 269, 3, 17]
ACTORDER = {**W4A16, 'config_groups': {'a': {'targets': ['Linear'], 'weights': {
    'num_bits': 4, 'type': 'int', 'strategy': 'group', 'group_size': 32, 'actorder': 'group'}}}}


def by_input(name: str) -> int:
    """Return a seed: matrices that read the same input have one order, as one calibration gives them."""
    return len(name.split('.')[-2]) if '_proj' in name and name.split('.')[-2][0] in 'od' else 1


def by_name(name: str) -> int:
    return sum(map(ord, name))


ORDERS: dict[str, Callable[[str], int]] = {'one for an input': by_input, 'one for each matrix': by_name}
FORMATS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    'gptq': (DESC_ACT, packed.gptq, {}),
    'gptq_v2': ({**DESC_ACT, 'checkpoint_format': 'gptq_v2'}, partial(packed.gptq, less_one=False), {}),
    'gptq 8 bits': ({**GPTQ8, 'desc_act': True}, partial(packed.gptq, bits=8), {'bits': 8, 'symmetric': True}),
    'W4A16': (ACTORDER, partial(packed.compressed_packed, index=True), {}),
}


def ordered(directory: Path, kind: str, orders: str) -> tuple[Path, dict[str, torch.Tensor]]:
    config, pack, options = FORMATS[kind]
    made, means = packed.model(pack, 32, order=ORDERS[orders], **options)
    return save(directory / 'theirs', made, {'quantization_config': config}), means


@pytest.mark.parametrize('orders', ORDERS)
@pytest.mark.parametrize('kind', FORMATS)
def test_every_number_arrives(tmp_path: Path, kind: str, orders: str) -> None:
    directory, means = ordered(tmp_path, kind, orders)
    checkpoint = imported(tmp_path, directory)
    for name in MATRICES:
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(means, name)), name
    order = checkpoint.linear('layers.1.attn.qkv').order
    assert order is not None and order.rows == ((128,) if orders == 'one for an input' else (64, 32, 32))


def reference(means: dict[str, torch.Tensor]) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    theirs = LlamaForCausalLM(LlamaConfig(**CONFIG)).eval()
    theirs.load_state_dict(means)
    with torch.inference_mode():
        return theirs(torch.tensor([TOKENS])).logits[0].numpy()


def error(found: Any, wanted: Any) -> float:
    return float(np.max(np.abs(found - wanted)) / np.max(np.abs(wanted)))


@pytest.mark.parametrize('orders', ORDERS)
@pytest.mark.parametrize(('kind', 'precision', 'bound'), [
    ('gptq', 'W4A16', 1e-3), ('gptq', 'W4A8', 0.2), ('gptq 8 bits', 'W8A16', 1e-3), ('gptq 8 bits', 'W8A8', 0.2)])
def test_logits_are_those_of_the_dequantized_model(tmp_path: Path, kind: str, precision: str, bound: float,
                                                   orders: str) -> None:
    directory, means = ordered(tmp_path, kind, orders)
    imported(tmp_path, directory)
    wanted = reference(means)
    engine = Engine.open(tmp_path / 'ours', precision=precision, threads=2)
    together = engine.score(TOKENS)
    assert error(together, wanted) <= bound
    cache = engine.new_cache()
    one_by_one = np.stack([engine.prefill(cache, TOKENS[:1]), *(engine.decode(cache, token) for token in TOKENS[1:])])
    assert np.array_equal(one_by_one, together)


def test_an_index_that_the_configuration_does_not_promise_is_followed_with_a_word(
        tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    made, means = packed.model(packed.gptq, 32, order=by_input)
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': GPTQ}))
    assert np.array_equal(checkpoint.linear('layers.1.mlp.down').dequantized(), expected(means, 'layers.1.mlp.down'))
    assert [record.message.partition(': ')[2] for record in core_log.records] == [
        'desc_act is false, but g_idx orders the columns; g_idx is used']


def test_static_groups_need_no_order(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    made, _ = packed.model(packed.gptq, 32)
    config = {**GPTQ, 'desc_act': True, 'static_groups': True}
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': config}))
    assert checkpoint.linear('layers.1.mlp.down').order is None and not core_log.records


def test_only_some_of_a_fused_matrix_are_ordered(tmp_path: Path) -> None:
    made, means = packed.model(packed.gptq, 32)
    other, other_means = packed.model(packed.gptq, 32, order=by_name)
    made |= {name: tensor for name, tensor in other.items() if 'k_proj' in name or 'up_proj' in name}
    means |= {name: tensor for name, tensor in other_means.items() if 'k_proj' in name or 'up_proj' in name}
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': DESC_ACT}))
    for name in MATRICES:
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(means, name)), name
    assert error(Engine.open(tmp_path / 'ours', precision='W4A16', threads=1).score(TOKENS), reference(means)) <= 1e-3


@pytest.mark.parametrize(('index', 'why'), [
    (np.arange(96) % 4, 'g_idx does not name each of 3 groups for 32 columns'),
    (np.zeros(96), 'g_idx does not name each of 3 groups'), (np.arange(96) // 32 - 1, 'g_idx does not name each'),
    (np.arange(96) // 24, 'g_idx does not name each'),
    (np.arange(95) // 32, 'g_idx has the shape [95] instead of [96]'),
    (None, 'g_idx is missing, which desc_act = true needs')])
def test_an_index_that_cannot_be_is_refused(tmp_path: Path, index: Any, why: str) -> None:
    made, _ = packed.model(packed.gptq, 32)
    name = 'model.layers.1.mlp.down_proj.g_idx'
    del made[name]
    if index is not None:
        made[name] = torch.from_numpy(index.astype(np.int32))
    assert why in refused(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': DESC_ACT}))


def test_a_head_is_ordered_and_an_embedding_is_not(tmp_path: Path) -> None:
    """GPTQ's lm_head = true."""
    for name in ('lm_head', 'model.embed_tokens'):
        made, _ = packed.model(packed.gptq, 32, order=by_input)
        g = packed.grid((270 + 2, 64), 32, 5, ordered=3)
        del made[f'{name}.weight']
        made |= {f'{name}.{part}': torch.from_numpy(np.ascontiguousarray(array))
                 for part, array in packed.gptq(g).items()}
        made |= {other: torch.ones((272, 64)).half() for other in ('lm_head.weight', 'model.embed_tokens.weight')
                 if other in made}
        directory = save(tmp_path / name, made, {
            'vocab_size': 272, 'quantization_config': {**GPTQ, 'desc_act': True, 'lm_head': True}})
        if name == 'lm_head':
            assert np.array_equal(imported(tmp_path, directory).linear('head').dequantized(), g.values)
        else:
            assert 'not supported for an embedding' in refused(tmp_path / 'other', directory)


def test_splitting_keeps_the_order(tmp_path: Path) -> None:
    directory, means = ordered(tmp_path, 'gptq', 'one for each matrix')
    imported(tmp_path, directory)
    split(tmp_path / 'ours', tmp_path / 'small', 2 ** 16)
    checkpoint = Checkpoint.open(tmp_path / 'small')
    assert len(checkpoint.manifest.shards) == 3
    for name in MATRICES:
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(means, name)), name


def test_rounding_anew_starts_from_the_columns_as_the_input_has_them(tmp_path: Path) -> None:
    directory, means = ordered(tmp_path, 'gptq', 'one for each matrix')
    checkpoint = imported(tmp_path, directory, weights='W16')
    linear = checkpoint.linear('layers.1.attn.qkv')
    assert linear.order is None
    assert np.array_equal(linear.dequantized(), expected(means, 'layers.1.attn.qkv').astype(np.float16))


def test_some_rows_keep_their_blocks() -> None:
    order = InputOrder((32, 16), np.stack([np.arange(8)[::-1], np.arange(8)]).astype(np.int32))
    values = np.random.default_rng(0).normal(size=(48, 8)).astype(np.float32)
    for rows in (np.arange(20), np.arange(24, 48), np.arange(40, 44), np.array([3, 1, 33])):
        found = order.take(rows).in_input_order(values[rows])
        assert np.array_equal(found, order.in_input_order(values)[rows])
    with pytest.raises(ValueError, match='mixes rows with different input orders'):
        order.take(np.array([33, 1]))


@pytest.mark.parametrize(('change', 'why'), [
    (lambda order: order[:-1], 'it is not a list of columns'), (lambda order: order[:0], 'it is not a list of columns'),
    (lambda order: order + 0.5, 'it is not a list of columns'),
    (lambda order: order * np.nan, 'it is not a list of columns'),
    (lambda order: np.where(order == 3, 4, order), 'it does not name each of 8 columns once'),
    (lambda order: np.where(order == 3, -1, order), 'it does not name each of 8 columns once'),
    (lambda order: np.where(order == 3, 2 ** 40, order), 'it does not name each of 8 columns once'),
    (lambda order: np.where(order == 32, 31, order), 'its blocks are not the 48 rows'),
    (lambda order: np.where(order == 32, -32, order), 'its blocks are not the 48 rows'),
])
def test_a_stored_order_that_is_none(change: Callable[[Any], Any], why: str) -> None:
    order = InputOrder((32, 16), np.stack([np.arange(8)[::-1], np.arange(8)]).astype(np.int32))
    assert np.array_equal(InputOrder.read(order.stored(), 48, 8).columns, order.columns)
    with pytest.raises(ValueError, match=why):
        InputOrder.read(np.asarray(change(order.stored()), dtype=np.float32), 48, 8)


def test_the_decoder_does_not_read_beyond_an_order_that_lies(tmp_path: Path) -> None:
    """Whatever the Python side lets pass: a number outside the input, one twice, blocks of too few or too many rows."""
    directory, _ = ordered(tmp_path, 'gptq', 'one for each matrix')
    checkpoint = imported(tmp_path, directory)
    from tinychat_core.loading.native_tensors import native_tensor

    tensors = {name: native_tensor(checkpoint, name) for name in checkpoint.manifest.tensors}
    name = 'layers.0.attn.qkv.input_order'
    for place, value in ((5, 64), (5, -1), (5, np.nan), (5, 1e20), (5, tensors[name][6]), (0, 0), (0, 48.5), (0, 1e9),
                         (0, 32), (0, -64)):
        wrong = tensors[name].copy()
        wrong[place] = value
        with pytest.raises(ValueError, match='input_order is no order of columns'):
            Engine(checkpoint.manifest.model, {**tensors, name: wrong}, weights='W4', threads=1)


def test_a_damaged_order_is_named_at_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, _ = ordered(tmp_path, 'gptq', 'one for an input')
    checkpoint = imported(tmp_path, directory)
    monkeypatch.setattr(Checkpoint, 'array', lambda self, name: np.zeros(65, np.float32))
    with pytest.raises(CheckpointError, match=r'mlp\.gate_up\.input_order is damaged'):
        checkpoint.linear('layers.0.mlp.gate_up')
