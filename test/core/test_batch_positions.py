# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Positions that are no slots (M-RoPE): what follows an image continues after its largest one, in every cache."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from plain_llama import PlainLlama, random_tensors
import pytest

from tinychat_core._tinychat import InvalidBatchError
from tinychat_core.bench import shapes
from tinychat_core.engine import Cache, Engine, ForwardBatch
from tinychat_core.errors import InvalidParameterError

VOCAB, CONTEXT = 300, 700
MODEL = {'model_type': 'llama', 'vocab_size': VOCAB, 'hidden_size': 96, 'intermediate_size': 160,
         'num_hidden_layers': 2, 'num_attention_heads': 6, 'num_key_value_heads': 3, 'head_dim': 32,
         'max_position_embeddings': CONTEXT, 'rms_norm_eps': 1e-5}
AXES = [i % 3 for i in range(16)]
# Three tokens of text, an image of 2 x 4 tiles, text.
IMAGE = [[3, 3 + row, 3 + column] for row in range(2) for column in range(4)]
PLACES = np.array([[0] * 3, [1] * 3, [2] * 3, *IMAGE, *([7 + i] * 3 for i in range(20))])
IDS = np.random.default_rng(0).integers(0, VOCAB, len(PLACES)).tolist()


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shapes._SHAPES, 'tiny', shapes._Shape(MODEL, group_size=32))


@pytest.fixture
def engine() -> Engine:
    listed = shapes.manifest('tiny', 'W16')
    return Engine(listed.model.replace(rope_axes=AXES), random_tensors(listed), weights='W16', threads=2)


def forward(engine: Engine, cache: Cache, begin: int, end: int) -> npt.NDArray[np.float32]:
    """Return the logits of tokens [begin, end); positions are given for a part with rows of the image alone."""
    batch = ForwardBatch()
    positions = PLACES[begin:end] if begin < 11 and end > 3 else None
    batch.add_sequence(IDS[begin:end], cache, positions=positions, logits='all')
    return engine.forward(batch).logits


def assert_near(found: Any, expected: Any) -> None:
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.fixture
def expected() -> npt.NDArray[np.float32]:
    return PlainLlama('tiny', 'W16').logits(IDS, positions=PLACES, axes=AXES)


@pytest.mark.parametrize('ends', [[31], [11, 31], [3, 11, 12, 31], [5, 7, 11, 20, 21, 31]])
def test_text_continues_after_the_largest_position(engine: Engine, expected: npt.NDArray[np.float32],
                                                   ends: list[int]) -> None:
    cache = engine.new_cache()
    found = [forward(engine, cache, begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
    assert_near(np.concatenate(found), expected)
    assert [cache.next_position(tokens) for tokens in (0, 3, 4, 7, 8, 11, 12, 31)] == [0, 3, 4, 7, 7, 7, 8, 27]


def test_a_truncated_cache_forgets_positions(engine: Engine, expected: npt.NDArray[np.float32]) -> None:
    """Text in the place of an image has the positions of text, and the image in the place of text its own."""
    cache = engine.new_cache()
    forward(engine, cache, 0, 31)
    cache.truncate(3)
    text = engine.prefill(cache, [7, 8, 9, 10])
    other = engine.new_cache()
    assert np.array_equal(engine.prefill(other, [*IDS[:3], 7, 8, 9, 10]), text) and cache.next_position(7) == 7
    cache.truncate(3)
    assert_near(forward(engine, cache, 3, 11), expected[3:11])
    assert_near(forward(engine, cache, 11, 31), expected[11:])


def test_a_copy_has_the_positions(engine: Engine, expected: npt.NDArray[np.float32]) -> None:
    cache, copy = engine.new_cache(), engine.new_cache()
    forward(engine, copy, 11, 31)
    forward(engine, cache, 0, 20)
    copy.copy_prefix(cache, 14)
    assert copy.next_position(14) == 10
    assert_near(forward(engine, copy, 14, 31), expected[14:])


def test_sequences_beside_each_other_have_their_own_positions(engine: Engine,
                                                              expected: npt.NDArray[np.float32]) -> None:
    image, text, batch = engine.new_cache(), engine.new_cache(), ForwardBatch()
    forward(engine, image, 0, 11)
    engine.prefill(text, IDS[:11])
    batch.add_sequence([5], text, logits='all')
    batch.add_sequence(IDS[11:], image, logits='all')
    found = engine.forward(batch).logits
    assert_near(found[1:], expected[11:])
    alone = PlainLlama('tiny', 'W16').logits([*IDS[:11], 5], axes=AXES)
    assert_near(found[0], alone[-1])


def test_positions_behind_the_context_are_refused(engine: Engine) -> None:
    cache, batch = engine.new_cache(), ForwardBatch()
    batch.add_sequence([1], cache, positions=[[CONTEXT - 1] * 3])
    engine.forward(batch)
    with pytest.raises(InvalidParameterError, match='position 700 is outside the context of 700'):
        engine.decode(cache, 2)
    assert cache.length == 1
    with pytest.raises(ValueError, match='a cache of 1 positions has no 2'):
        cache.next_position(2)


# --- DeepStack --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('ends', [[40], [1, 3, 20, 40]])
def test_parts_of_an_embedding_are_added_after_the_first_layers(ends: list[int], monkeypatch: pytest.MonkeyPatch,
                                                                ) -> None:
    monkeypatch.setitem(shapes._SHAPES, 'tiny', shapes._Shape({**MODEL, 'num_hidden_layers': 3}, group_size=32))
    listed = shapes.manifest('tiny', 'W16')
    opened = Engine(listed.model.replace(deepstack_layers=2), random_tensors(listed), weights='W16', threads=2)
    plain, random = PlainLlama('tiny', 'W16'), np.random.default_rng(3)
    ids, is_row = random.integers(0, VOCAB, 40), random.random(40) < 0.5
    parts = random.normal(0, 0.3, (2, 40, 96)).astype(np.float32) * is_row[:, None]
    rows = np.concatenate([plain.embedding[ids], *parts], axis=1)
    cache, found = opened.new_cache(), []
    for begin, end in zip([0, *ends], ends, strict=False):
        batch, here = ForwardBatch(), is_row[begin:end]
        batch.add_sequence(np.where(here, -1, ids[begin:end]), cache, embeddings=rows[begin:end][here], logits='all')
        found.append(opened.forward(batch).logits)
    expected = plain.logits(ids.tolist(), deepstack=parts, windows=(0, 0, 0))
    assert_near(np.concatenate(found), expected)
    assert np.abs(plain.logits(ids.tolist(), windows=(0, 0, 0)) - expected).max() > 0.01 * np.abs(expected).max()
    batch = ForwardBatch()
    batch.add_sequence([-1], opened.new_cache(), embeddings=rows[:1, :96])
    with pytest.raises(InvalidParameterError, match="an embedding has 96 numbers, and the model's embeddings have 288"):
        opened.forward(batch)


# --- encoders ---------------------------------------------------------------------------------------------------------

def encoder(layers: range, final_norm: bool = False, **changes: Any) -> Any:
    """Return a native decoder of some layers, which takes and returns rows of 96 numbers."""
    listed = shapes.manifest('tiny', 'W16')
    tensors = {name: tensor for name, tensor in random_tensors(listed).items()
               if name.startswith('layers.') or (final_norm and name.startswith('norm'))}
    own = {name.replace(f'layers.{layer}.', f'layers.{i}.'): tensor for i, layer in enumerate(layers)
           for name, tensor in tensors.items() if name.startswith(f'layers.{layer}.')}
    own |= {name: tensor for name, tensor in tensors.items() if name.startswith('norm')}
    config = listed.model.replace(**{'vocab_size': 96, 'layers': len(layers), 'encoder': True,
                                     'final_norm': final_norm, **changes})
    from tinychat_core._tinychat import Decoder
    return Decoder(config.to_native(CONTEXT), own, activations='float', isa='', threads=2, max_seq_len=CONTEXT)


def encoded(decoder: Any, rows: npt.NDArray[np.float32], *sequences: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Return the outputs for rows, which `sequences` divide."""
    batch = ForwardBatch()
    for sequence in sequences or ({'begin': 0, 'end': len(rows)},):
        part = rows[sequence.pop('begin'):sequence.pop('end')]
        batch.add_sequence([-1] * len(part), None, embeddings=part, logits='all', **sequence)
    found: npt.NDArray[np.float32] = decoder.forward(batch, None).logits
    return found


ROWS = np.random.default_rng(5).normal(0, 1, (300, 96)).astype(np.float32)
SPANS = [(0, 1), (1, 90), (90, 100), (100, 300)]


def test_layers_with_own_spans_see_them_alone() -> None:
    """In their order: one layer sees its span, the next one all; positions count from the beginning of the sequence."""
    positions = np.arange(300)
    inner = encoder(range(1))
    first = np.concatenate([encoded(inner, ROWS, {'begin': begin, 'end': end, 'positions': positions[begin:end]})
                            for begin, end in SPANS])
    expected = encoded(encoder(range(1, 2)), first)
    found = encoded(encoder(range(2), windows=[-1, 0]), ROWS, {'begin': 0, 'end': 300, 'bidirectional': SPANS})
    assert_near(found, expected)
    assert np.abs(encoded(encoder(range(2)), ROWS) - expected).max() > 0.01 * np.abs(expected).max()


def test_outputs_have_the_residuals_of_layers() -> None:
    found = encoded(encoder(range(2), True, output_layers=[0, 1], vocab_size=3 * 96), ROWS)
    assert_near(found[:, :96], encoded(encoder(range(2), True), ROWS))
    assert_near(found[:, 96:192], encoded(encoder(range(1)), ROWS))
    assert_near(found[:, 192:], encoded(encoder(range(2)), ROWS))


@pytest.mark.parametrize(('spans', 'reason'), [
    ([], 'do not have all of its tokens'), ([(0, 299)], 'do not have all of its tokens'),
    ([(0, 200), (100, 300)], 'not in order'), ([(0, 301)], 'outside its tokens'),
])
def test_spans_that_leave_out_a_row_are_refused(spans: list[tuple[int, int]], reason: str) -> None:
    with pytest.raises(InvalidBatchError, match=reason):
        encoded(encoder(range(2), windows=[-1, 0]), ROWS, {'begin': 0, 'end': 300, 'bidirectional': spans})


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'windows': [-1, 0]}, 'only an encoder has windows that are spans'),
    ({'output_layers': [0]}, r'output_layers = \[0\]'),
    ({'encoder': True, 'vocab_size': 96, 'output_layers': [0]}, 'have 96 elements instead of 192'),
    ({'encoder': True, 'vocab_size': 288, 'output_layers': [1, 0]}, r'output_layers = \[1, 0\]'),
    ({'encoder': True, 'vocab_size': 192, 'output_layers': [2]}, r'output_layers = \[2\]'),
    ({'deepstack_layers': 2}, 'deepstack_layers = 2 is not supported with 2 layers'),
])
def test_configurations_that_do_not_fit_together(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        shapes.manifest('tiny', 'W16').model.replace(**changes)
