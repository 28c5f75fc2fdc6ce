# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The native layer checks what it is given: whoever calls it, nothing reads or writes beyond a buffer."""
from __future__ import annotations

from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from unittest.mock import patch

import pytest
import small_checkpoint as small

from tinychat_core._tinychat import Sampler
from tinychat_core.checkpoint.formats import FORMATS
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.engine import Engine
from tinychat_core.errors import InvalidParameterError, PromptTooLongError

INF, NAN = float('inf'), float('nan')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp('model') / 'small')


def test_a_cache_of_another_engine_is_refused(checkpoint: Path) -> None:
    first, second = Engine.open(checkpoint), Engine.open(checkpoint)
    cache = first.new_cache()
    with pytest.raises(InvalidParameterError, match='belongs to another engine'):
        second.prefill(cache, [1, 2])
    assert cache.length == 0
    first.prefill(cache, [1, 2])
    assert cache.length == 2


def test_a_cache_outlives_its_engine_and_is_still_refused(checkpoint: Path) -> None:
    first = Engine.open(checkpoint)
    cache = first.new_cache()
    first.close()
    with pytest.raises(InvalidParameterError, match='belongs to another engine'):
        Engine.open(checkpoint).prefill(cache, [1])


def test_threads_that_share_a_cache_never_fill_it_beyond_its_capacity(checkpoint: Path) -> None:
    engine = Engine.open(checkpoint)
    cache = engine.new_cache()
    together = Barrier(4)
    refused: list[Exception] = []

    def fill() -> None:
        together.wait()
        try:
            while True:
                engine.prefill(cache, [1, 2, 3])
        except (PromptTooLongError, InvalidParameterError) as error:
            refused.append(error)

    threads = [Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 4
    assert cache.capacity - 3 < cache.length <= cache.capacity


@pytest.mark.parametrize('changes', [
    {'temperature': NAN}, {'temperature': INF}, {'temperature': -1.0}, {'temperature': 1e-38}, {'top_k': -1},
    {'top_p': NAN}, {'top_p': 1.5}, {'min_p': -0.5}, {'min_p': NAN}, {'repetition_penalty': 0.0},
    {'repetition_penalty': NAN}, {'repetition_penalty': -2.0}, {'repetition_penalty': INF},
])
def test_a_sampler_refuses_what_gives_no_probabilities(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f'{next(iter(changes))} of the sampler'):
        Sampler(1, **changes)


@pytest.mark.parametrize('token', [-1, 1 << 24, 2**31 - 1])
def test_a_sampler_keeps_no_memory_for_tokens_of_no_vocabulary(token: int) -> None:
    with pytest.raises(ValueError, match='is in no vocabulary'):
        Sampler(1, repetition_penalty=1.1).accept(token)


def packed(name: str) -> Linear:
    matrix = small.matrix(name)
    return matrix.packed(FORMATS[matrix.format].layout)


def build(changes: dict[str, Any], tensors: dict[str, Any] | None = None) -> Engine:
    """Build an engine over the small checkpoint's tensors, with changes of what the native decoder gets."""
    def native(name: str) -> Any:
        if name in small.VECTORS:
            return small.vector(name)
        linear = packed(name)
        parts = {'weight': linear.weight, 'scales': linear.scales, 'mins': linear.mins, 'zeros': linear.zeros}
        return {'format': linear.format, 'rows': linear.rows, 'cols': linear.cols, 'group_size': linear.group_size,
                **{key: part for key, part in parts.items() if part is not None}}

    ours = {name: native(name) for name in (*small.MATRICES, *small.VECTORS)}
    config = {**small.MODEL.to_native(64), **changes}
    with patch.object(ModelConfig, 'to_native', lambda *_: config):
        return Engine(small.MODEL, {**ours, **(tensors or {})}, weights='W4')


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'alibi_slopes': [0.5, 0.25]}, 'alibi_slopes must have one number a head'),
    ({'alibi_slopes': [0.5, 0.25, NAN]}, 'not finite'),
    ({'windows': [8]}, 'windows must have one number a layer'),
    ({'windows': [8, -1]}, 'a window is negative'),
    ({'output_layers': [0]}, 'only an encoder has output_layers'),
    ({'deepstack_layers': 2}, 'not below the number of layers'),
    ({'deepstack_layers': -1}, 'deepstack_layers is negative'),
    ({'rope_inv_freq': [1.0] * 17}, 'rotary dimensions exceed the head size'),
    ({'rope_inv_freq': [INF]}, 'not finite'),
    ({'rope_local_inv_freq': [1.0] * 17}, 'rotary dimensions exceed the head size'),
    ({'norm_eps': NAN}, 'norm_eps'),
    ({'norm_eps': -1e-5}, 'norm_eps'),
    ({'rope_scale': NAN}, 'a scale is not finite'),
    ({'kv_heads': 2}, 'multiple of the number of KV heads'),
    ({'kv_heads': 0}, 'a size of the model is not positive'),
    ({'layers': 1}, r'layers\.1\..* belongs to no layer'),
    ({'layers': 3}, 'has no tensor layers.2.'),
    ({'layers': '2'}, 'layers of the model'),
    ({'layers': 2**40}, 'layers of the model'),
    ({'activation': 'swish'}, "unknown activation 'swish'"),
    ({'rope_theta': 1e4}, 'unknown field: rope_theta'),
])
def test_a_configuration_that_contradicts_itself_builds_nothing(changes: dict[str, Any], reason: str) -> None:
    build({})
    with pytest.raises(ValueError, match=reason):
        build(changes)


def test_learned_positions_reach_to_the_end_of_the_context() -> None:
    positions = {'format': 'f16', 'rows': 63, 'cols': 64, 'weight': packed('embedding').weight}
    with pytest.raises(ValueError, match='fewer learned positions than the context'):
        build({}, {'positions': positions})
