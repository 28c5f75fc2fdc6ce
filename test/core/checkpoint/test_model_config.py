# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A configuration that contradicts itself is refused before the decoder is built: it would read beyond its lists."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import re
from typing import Any

import pytest
import small_checkpoint as small

from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.errors import CheckpointError
from tinychat_core.families import model_config

ROOT = Path(__file__).resolve().parents[3]
MPT = model_config({'model_type': 'mpt', 'vocab_size': 64, 'd_model': 96, 'n_heads': 3, 'n_layers': 2}).to_json()


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'windows': [4]}, 'windows has 1 numbers instead of 2'),
    ({'windows': [4.0, 4.5]}, r'Expected `int`, got `float` - at `\$.windows\[0\]`'),
    ({'windows': [4, -4]}, r'windows\[1\]'),
    ({'alibi_slopes': [0.5, 0.25]}, 'alibi_slopes has 2 numbers instead of 3'),
    ({'alibi_slopes': [0.5, 0.25, None]}, r'alibi_slopes\[2\]'),
    ({'alibi_slopes': [0.5, 0.25, float('nan')]}, 'alibi_slopes is not finite'),
    ({'rope_inv_freq': [1.0] * 17}, 'rope_inv_freq has 17 numbers instead of at most 16'),
    ({'rope_inv_freq': ['fast']}, 'rope_inv_freq'),
    ({'rope_inv_freq': [float('inf')]}, 'rope_inv_freq is not finite'),
    ({'rope_long_inv_freq': [1.0] * 17}, 'rope_long_inv_freq has 17 numbers'),
    ({'rope_local_inv_freq': [1.0] * 17}, 'rope_local_inv_freq has 17 numbers'),
    ({'rope': {'theta': 1e4, 'dim': 64}}, 'rope.dim is 64'),
    ({'rope': {'theta': 1e4, 'dim': 31}}, 'rope.dim'),
    ({'rope': {'theta': float('nan'), 'dim': 32}}, 'rope.theta'),
    ({'rope': {'theta': 0.0, 'dim': 32}}, 'rope.theta'),
    ({'rope_axes': [3]}, r'rope_axes\[0\]'),
    ({'position_offset': -1}, 'position_offset'),
    ({'embedding_size': 0}, 'embedding_size'),
    ({'head_dim': 512}, 'head_dim = 512 is not supported: above 256'),
    ({'hidden_size': 100}, 'hidden_size = 100 is not supported: not a multiple of 16'),
    ({'rope': None, 'norm': None}, r'at `\$\.norm`'),
    ({'heads': 0}, 'heads'),
    ({'heads': 4}, '4 heads are not a multiple of 3 KV heads'),
    ({'heads': True}, 'heads'),
    ({'layers': 2**40}, 'layers'),
    ({'norm_eps': float('nan')}, 'norm_eps'),
    ({'norm_eps': -1e-5}, 'norm_eps'),
    ({'norm': 'batch'}, 'norm'),
    ({'gated': 1}, 'gated'),
    ({'embedding_scale': float('inf')}, 'embedding_scale is not finite'),
    ({'logit_softcap': -30.0}, 'logit_softcap'),
    ({'eos_token_ids': [2, '3']}, r'eos_token_ids\[1\]'),
])
def test_what_does_not_fit_is_named(changes: dict[str, Any], reason: str) -> None:
    ModelConfig.from_json(MPT)
    with pytest.raises(ValueError, match=reason):
        ModelConfig.from_json({**MPT, **changes})


@pytest.mark.parametrize(('offset', 'served'), [(0, True), (1, False)])
def test_there_are_as_many_learned_positions_as_the_context_has(tmp_path: Path, offset: int, served: bool) -> None:
    manifest = Manifest.read(small.write(tmp_path / 'model'))
    learned = TensorEntry(0, 'f16', manifest.model.context_length, manifest.model.hidden_size, 0, 'r16k1')
    changed = replace(manifest, model=manifest.model.replace(position_offset=offset),
                      tensors={**manifest.tensors, 'positions': learned})
    (tmp_path / 'model' / 'tinychat.json').write_text(changed.text())
    if served:
        Manifest.read(tmp_path / 'model')
    else:
        with pytest.raises(CheckpointError, match='learned positions instead of'):
            Manifest.read(tmp_path / 'model')


def test_a_field_of_a_newer_release_names_itself() -> None:
    with pytest.raises(CheckpointError, match='unknown field `experts`; update tinychat'):
        ModelConfig.from_json({**MPT, 'experts': 8})


def test_a_missing_field_names_itself() -> None:
    with pytest.raises(ValueError, match='missing required field `kv_heads`'):
        ModelConfig.from_json({name: value for name, value in MPT.items() if name != 'kv_heads'})


def test_json_and_back_is_the_same() -> None:
    assert ModelConfig.from_json(small.MODEL.to_json()) == small.MODEL
    assert 'alibi_slopes' not in small.MODEL.to_json()  # the default is not stored


def test_the_decoder_takes_every_field_it_gets() -> None:
    """`to_native` passes what csrc/bindings_model.cpp reads: a field that only one side knew would be ignored."""
    read = set(re.findall(r'read\("(\w+)"', (ROOT / 'csrc' / 'bindings_model.cpp').read_text()))
    every = {'rope_inv_freq': [1.0] * 16, 'rope_axes': [0] * 16, 'rope_local_inv_freq': [1.0] * 16,
             'alibi_slopes': [0.5] * 3, 'windows': [0] * 2, 'embedding_size': 64, 'rope': None,
             'vocab_size': 128, 'encoder': True, 'output_layers': [0]}
    assert set(small.MODEL.replace(**every).to_native(64)) == read
