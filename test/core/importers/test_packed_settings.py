# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a quantization_config says beside bits and groups: versions of GPTQ, AutoRound's packings, schemes of others."""
from __future__ import annotations

from functools import partial
import json
from pathlib import Path
from typing import Any

from accepted_quantized import rounded
from importing import imported, refused
import numpy as np
import packed_formats as packed
from packed_formats import AWQ, GPTQ, GPTQ8, MATRICES, W4A16, W8A8, W8A16
import pytest
from small_huggingface import expected, save
import torch

SYM = {**GPTQ, 'sym': True}
SYM8 = {**GPTQ8, 'sym': True}
AUTO_ROUND = {'quant_method': 'auto-round', 'bits': 4, 'group_size': 32, 'sym': True, 'data_type': 'int',
              'packing_format': 'auto_round:auto_gptq', 'autoround_version': '0.8.0'}
FOUR, EIGHT = {'group_size': 32, 'symmetric': True}, {'group_size': 32, 'symmetric': True, 'bits': 8}
LESS = partial(packed.gptq, index=False)
AS_IT_IS = partial(packed.gptq, less_one=False, index=False)


def saved(tmp_path: Path, config: dict[str, Any], pack: Any, **options: Any) -> tuple[Path, dict[str, torch.Tensor]]:
    made, means = packed.model(pack, **options)
    return save(tmp_path / 'theirs', made, {'quantization_config': config}), means


def assert_imported(tmp_path: Path, directory: Path, means: dict[str, torch.Tensor]) -> None:
    checkpoint = imported(tmp_path, directory)
    for name in MATRICES:
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(means, name)), name


def said(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.message.partition(': ')[2] for record in log.records]


READ_AS_8 = 'all 9 and sym is true; they are read as 8, as the format gptq_v2 stores it'
# What the configuration says of the format, how zero points are stored, and what is said.
VERSIONS = [
    (SYM, 4, True, None), ({**SYM, 'checkpoint_format': 'gptq'}, 4, True, None),
    ({**SYM, 'checkpoint_format': 'gptq_v2'}, 4, False, None), ({**SYM, 'format': 'gptq_v2'}, 4, False, None),
    ({**SYM, 'checkpoint_format': 'gptq'}, 4, False, READ_AS_8),
    (SYM, 4, False, READ_AS_8),
    ({**SYM, 'checkpoint_format': 'gptq_v2'}, 4, True,
     'all 7 and sym is true; they are read as 8, as the format gptq stores it'),
    (SYM8, 8, True, None), ({**SYM8, 'checkpoint_format': 'gptq_v2'}, 8, False, None),
    (SYM8, 8, False, 'all 129 and sym is true; they are read as 128'),
    ({**SYM8, 'checkpoint_format': 'gptq_v2'}, 8, True, 'all 127 and sym is true; they are read as 128'),
    ({name: value for name, value in SYM.items() if name != 'sym'}, 4, False, 'all 9 and sym is true'),
]


@pytest.mark.parametrize('desc_act', [False, True])
@pytest.mark.parametrize(('config', 'bits', 'less_one', 'word'), VERSIONS)
def test_symmetric_zero_points_tell_their_version(tmp_path: Path, core_log: pytest.LogCaptureFixture, desc_act: bool,
                                                  config: dict[str, Any], bits: int, less_one: bool,
                                                  word: str | None) -> None:
    options = {'order': lambda _: 1} if desc_act else {}
    directory, means = saved(tmp_path, {**config, 'desc_act': desc_act}, partial(
        packed.gptq, bits=bits, less_one=less_one), bits=bits, **FOUR, **options)
    assert_imported(tmp_path, directory, means)
    assert len(core_log.records) == (word is not None)
    assert word is None or word in said(core_log)[0]


def test_asymmetric_zero_points_are_read_as_they_are_stored(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    """All of them 9 may be meant where sym is false."""
    def nine(g: packed.Grid) -> Any:
        g.zeros[:] = 9
        return packed.gptq(g)

    directory, means = saved(tmp_path, GPTQ, nine, group_size=32)
    assert_imported(tmp_path, directory, means)
    assert not core_log.records


@pytest.mark.parametrize(('declared', 'less_one'), [('gptq', True), ('gptq', False), ('gptq_v2', True),
                                                    ('gptq_v2', False)])
def test_asymmetric_zero_points_of_weights_tell_their_version(tmp_path: Path, core_log: pytest.LogCaptureFixture,
                                                              declared: str, less_one: bool) -> None:
    directory, means = saved(tmp_path, {**GPTQ, 'sym': False, 'checkpoint_format': declared},
                             rounded(partial(packed.gptq, less_one=less_one)), group_size=32)
    assert_imported(tmp_path, directory, means)
    assert len(core_log.records) == (less_one != (declared == 'gptq'))


def test_the_older_file_says_how_zero_points_are_stored(tmp_path: Path) -> None:
    directory, means = saved(tmp_path, {**GPTQ, 'sym': False}, partial(packed.gptq, less_one=False), group_size=32)
    (directory / 'quantize_config.json').write_text(json.dumps({'bits': 4, 'checkpoint_format': 'gptq_v2'}))
    assert_imported(tmp_path, directory, means)


def test_zero_points_that_sym_does_not_explain_are_said(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    directory, means = saved(tmp_path, SYM, packed.gptq, group_size=32)
    assert_imported(tmp_path, directory, means)
    assert said(core_log) == ['sym is true, but its zero points are not all 8; they are read as they are stored']


@pytest.mark.parametrize('word', [np.int8, np.int16, np.int64])
def test_words_of_another_size(tmp_path: Path, word: Any) -> None:
    """GPTQModel's pack_dtype; the numbers of a wider word are those of the narrow ones, from the lowest bits."""
    def pack(g: packed.Grid) -> Any:
        parts = packed.gptq(g)
        for part, axis in (('qweight', 0), ('qzeros', 1)):
            plain = np.ascontiguousarray(np.moveaxis(parts[part], axis, 1))
            parts[part] = np.ascontiguousarray(np.moveaxis(plain.view('<i8' if word is np.int64 else word), 1, axis))
        return parts

    directory, means = saved(tmp_path, {**GPTQ, 'pack_dtype': np.dtype(word).name}, pack, group_size=32)
    assert_imported(tmp_path, directory, means)


# packing_format (or backend) -> how matrices are packed, and whether they may be asymmetric.
PACKINGS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    'auto_gptq': (AUTO_ROUND, LESS, FOUR),
    'gptq': ({**AUTO_ROUND, 'packing_format': 'auto_round:gptq'}, LESS, FOUR),
    'asymmetric': ({**AUTO_ROUND, 'sym': False, 'packing_format': 'auto_round'}, AS_IT_IS, {'group_size': 32}),
    'asymmetric, gptqmodel': ({**AUTO_ROUND, 'sym': False, 'packing_format': 'auto_round:gptqmodel'},
                              partial(packed.gptq, less_one=False), {'group_size': 32}),
    'asymmetric, auto_gptq': ({**AUTO_ROUND, 'sym': False}, LESS, {'group_size': 32}),
    'awq': ({**AUTO_ROUND, 'packing_format': 'auto_round:auto_awq'}, packed.awq_gemm, FOUR),
    'asymmetric, awq': ({**AUTO_ROUND, 'sym': False, 'packing_format': 'auto_round:awq'}, packed.awq_gemm,
                        {'group_size': 32}),
    'eight bits': ({**AUTO_ROUND, 'bits': 8}, partial(LESS, bits=8), EIGHT),
    'a scale a row': ({**AUTO_ROUND, 'group_size': -1}, LESS, {'group_size': -1, 'symmetric': True}),
    'older, with a kernel': ({**AUTO_ROUND, 'packing_format': None, 'backend': 'auto_round:gptq:exllamav2'}, LESS,
                             FOUR),
    'older, without a version': ({**AUTO_ROUND, 'packing_format': None, 'backend': 'auto_round:exllamav2'}, AS_IT_IS,
                                 FOUR),
    'no packing_format': ({**AUTO_ROUND, 'packing_format': None}, LESS, FOUR),
    'auto': ({**AUTO_ROUND, 'packing_format': 'auto'}, LESS, FOUR),
    'by its older name': ({**AUTO_ROUND, 'quant_method': 'intel/auto-round'}, LESS, FOUR),
    'activations of 16 bits': ({**AUTO_ROUND, 'act_bits': 16, 'act_data_type': 'float'}, LESS, FOUR),
}


@pytest.mark.parametrize('kind', PACKINGS)
def test_auto_round(tmp_path: Path, core_log: pytest.LogCaptureFixture, kind: str) -> None:
    config, pack, options = PACKINGS[kind]
    assert_imported(tmp_path, *saved(tmp_path, config, pack, **options))
    assert not core_log.records


@pytest.mark.parametrize(('exceptions', 'format_'), [
    ({'model.layers.0.mlp.down_proj': {'bits': 8}, 'model.layers.1.mlp.down_proj': {'bits': 8}}, 'w8g'),
    ({r'.*down_proj.*': {'bits': 8, 'sym': True}}, 'w8g'),
    ({r'.*down_proj.*': {'bits': 16, 'data_type': 'float'}}, 'f16')])
@pytest.mark.parametrize('tool', ['auto-round', 'gptq'])
def test_a_layer_may_have_other_bits(tmp_path: Path, exceptions: dict[str, Any], format_: str, tool: str) -> None:
    made, means = packed.model(LESS, plain=('down_proj',) if format_ == 'f16' else (), **FOUR)
    if format_ != 'f16':
        wide, wide_means = packed.model(partial(LESS, bits=8), **EIGHT)
        made |= {name: tensor for name, tensor in wide.items() if 'down_proj' in name}
        means |= {name: tensor for name, tensor in wide_means.items() if 'down_proj' in name}
    if tool == 'gptq' and format_ == 'f16':
        exceptions = {'-:.*down.*': {}}
    config = {**AUTO_ROUND, 'extra_config': exceptions} if tool == 'auto-round' else {**SYM, 'dynamic': exceptions}
    if format_ == 'f16' and tool == 'auto-round':
        del exceptions[r'.*down_proj.*']['data_type']
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': config}))
    assert checkpoint.manifest.tensors['layers.1.mlp.down'].format == format_
    for name in MATRICES:
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(means, name)), name


def schemes(**weights: Any) -> dict[str, Any]:
    return {'a': {'targets': ['Linear'], 'weights': {'num_bits': 8, 'type': 'int', 'symmetric': True, **weights}}}


INT = {**W8A8, 'config_groups': schemes(strategy='tensor')}


def per_tensor(g: packed.Grid, dims: tuple[int, ...] = (1,)) -> Any:
    g.scales[:] = g.scales[0, 0]
    return {'weight': (g.q - 128).astype(np.int8), 'weight_scale': np.array(g.scales[0, 0]).reshape(dims)}


def with_zero_points(g: packed.Grid, dims: tuple[int, ...] | None = None) -> Any:
    """Numbers of 7 bits, so that they fit eight without their zero points."""
    g.q[:] = g.q // 2 + 64
    if dims is None:
        g.zeros[:] = g.zeros // 4 + 96
        zeros = (g.zeros - 128).astype(np.int8)
    else:
        g.zeros[:] = 131
        zeros = np.full(dims, 3, np.int8)
    return {**packed.compressed_int(g), 'weight_zero_point': zeros}


def signed_zero_points(g: packed.Grid) -> Any:
    """Zero points as older releases stored them beside packed numbers: not packed."""
    return {**packed.compressed_packed(g, zero_points=False), 'weight_zero_point': (g.zeros - 8).astype(np.int8)}


ROW = {'group_size': -1, 'bits': 8, 'symmetric': True}
COMPRESSED: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    'per tensor': (INT, per_tensor, ROW),
    'per tensor, a scalar': (INT, partial(per_tensor, dims=()), ROW),
    'per tensor, a matrix': (INT, partial(per_tensor, dims=(1, 1)), ROW),
    'naive': ({**INT, 'format': 'naive-quantized'}, per_tensor, ROW),
    'per row, a vector': ({**INT, 'config_groups': schemes(strategy='channel')}, lambda g: {
        **packed.compressed_int(g), 'weight_scale': g.scales[:, 0]}, ROW),
    'zero points': ({**INT, 'config_groups': schemes(strategy='channel', symmetric=False)}, with_zero_points, ROW),
    'zero points per tensor': ({**INT, 'config_groups': schemes(strategy='channel', symmetric=False)},
                               partial(with_zero_points, dims=(1,)), ROW),
    'int in groups': ({**INT, 'config_groups': schemes(strategy='group', group_size=32)}, packed.compressed_int,
                      {**ROW, 'group_size': 32}),
    'packed, int8 zero points': ({**W4A16, 'config_groups': schemes(
        num_bits=4, strategy='group', group_size=32, symmetric=False)}, signed_zero_points, {'group_size': 32}),
    'packed, null group_size': ({**W4A16, 'config_groups': schemes(
        num_bits=4, strategy='channel', group_size=None, symmetric=False)}, packed.compressed_packed,
        {'group_size': -1}),
    'a format for each group': ({**W4A16, 'format': 'mixed-precision', 'config_groups': {'a': {
        **schemes(num_bits=4, strategy='group', group_size=32, symmetric=False)['a'], 'format': 'pack-quantized'}}},
        packed.compressed_packed, {'group_size': 32}),
    'ordered by static groups': ({**W4A16, 'config_groups': schemes(
        num_bits=4, strategy='group', group_size=32, actorder='static', symmetric=False)}, packed.compressed_packed,
        {'group_size': 32}),
    'letters of any size': ({**W4A16, 'config_groups': schemes(
        num_bits=4, type='INT', strategy='Group', group_size=32, symmetric=False)}, packed.compressed_packed,
        {'group_size': 32}),
}


@pytest.mark.parametrize('kind', COMPRESSED)
def test_compressed_tensors(tmp_path: Path, core_log: pytest.LogCaptureFixture, kind: str) -> None:
    config, pack, options = COMPRESSED[kind]
    assert_imported(tmp_path, *saved(tmp_path, config, pack, **options))
    assert not core_log.records


def test_layers_may_have_different_schemes(tmp_path: Path) -> None:
    """W8 in `int-quantized` beside W4 in `pack-quantized`, and a layer that is ignored."""
    made, means = packed.model(packed.compressed_packed, 32, plain=('o_proj',))
    wide, wide_means = packed.model(packed.compressed_int, **ROW)
    made = {name: tensor for name, tensor in made.items() if 'down_proj' not in name} | {
        name: tensor for name, tensor in wide.items() if 'down_proj' in name}
    means |= {name: tensor for name, tensor in wide_means.items() if 'down_proj' in name}
    config = {'quant_method': 'compressed-tensors', 'format': 'mixed-precision', 'ignore': ['re:.*o_proj', 'lm_head'],
              'config_groups': {
                  'a': {**schemes(num_bits=4, strategy='group', group_size=32)['a'], 'format': 'pack-quantized'},
                  'b': {**schemes(strategy='channel')['a'], 'targets': ['re:.*down_proj'], 'format': 'int-quantized'}}}
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': config}))
    assert [checkpoint.manifest.tensors[f'layers.1.{name}'].format for name in (
        'attn.qkv', 'attn.o', 'mlp.down')] == ['w4z', 'f16', 'w8c']
    for name in MATRICES:
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(means, name)), name


@pytest.mark.parametrize(('activations', 'word'), [
    ({'num_bits': 8, 'type': 'int', 'dynamic': False, 'strategy': 'tensor'}, 'its static activation scales are not'),
    ({'num_bits': 8, 'type': 'int'}, 'its static activation scales are not used'),
    ({'num_bits': 8, 'type': 'float', 'dynamic': True}, 'its activations are not rounded to floats of 8 bits'),
    ({'num_bits': 8, 'type': 'int', 'dynamic': True, 'strategy': 'token'}, None), (None, None)])
def test_activations(tmp_path: Path, core_log: pytest.LogCaptureFixture, activations: Any, word: str | None) -> None:
    groups = schemes(strategy='channel')
    groups['a']['input_activations'] = activations
    assert_imported(tmp_path, *saved(tmp_path, {**INT, 'config_groups': groups}, packed.compressed_int, **ROW))
    assert word in said(core_log)[0] if word else not core_log.records


REFUSED: list[tuple[dict[str, Any], str]] = [
    *[({**SYM, 'checkpoint_format': name}, f'checkpoint_format = {name} is not supported; gptq and gptq_v2 are')
      for name in ('marlin', 'bitblas', 'ipex', 'gptq_v3', 'gguf')],
    ({**SYM, 'is_marlin_format': True}, 'checkpoint_format = marlin is not supported'),
    *[({**SYM, 'bits': bits}, f'GPTQ with bits = {bits} is not supported; 4 and 8 are')
      for bits in (2, 3, 5, 6, 16, 0, -4)],
    ({**SYM, 'rotation': 'hadamard'}, 'rotation = hadamard is not supported'),
    ({**SYM, 'adapter': {'name': 'lora'}}, 'is not supported; leave it out'),
    ({**SYM, 'bits': 8}, 'qweight has 4 bits, and the configuration says bits = 8'),
    ({**AWQ, 'version': 'marlin'}, 'version = marlin is not supported; gemm, gemv'),
    ({**AWQ, 'checkpoint_format': 'marlin'}, 'checkpoint_format = marlin is not supported'),
    *[({**AUTO_ROUND, 'bits': bits}, f'AutoRound with bits = {bits} is not supported; 4 and 8') for bits in (2, 3, 16)],
    *[({**AUTO_ROUND, 'packing_format': name}, f'packing_format = {name} is not supported; auto_round, ')
      for name in ('auto_round:llm_compressor', 'auto_round:fp8_static', 'mlx', 'auto_gptq', 'auto_round:fake')],
    ({**AUTO_ROUND, 'backend': 'ipex', 'packing_format': None}, 'backend = ipex is not supported'),
    ({**AUTO_ROUND, 'data_type': 'mx_fp'}, 'data_type = mx_fp is not supported; int is'),
    ({**AUTO_ROUND, 'act_bits': 8}, 'act_bits = 8 is not supported'),
    ({**AUTO_ROUND, 'super_bits': 6}, 'super_bits = 6 is not supported'),
    ({**AUTO_ROUND, 'extra_config': {'a.b': {'bits': 3}}}, 'bits = 3 in quantization_config.extra_config.a.b is not'),
    ({**AUTO_ROUND, 'extra_config': {'a.b': {'data_type': 'fp'}}}, 'extra_config.a.b with data_type = fp is not'),
    ({**AUTO_ROUND, 'bits': 8, 'packing_format': 'auto_round:auto_awq'}, 'bits = 8 as auto_round:auto_awq'),
    *[({**W4A16, 'format': name}, f'format = {name} is not supported; pack-quantized and int-quantized are')
      for name in ('float-quantized', 'marlin-24', 'nvfp4-pack-quantized', 'dense', 'sparse-24-bitmask')],
    *[({**W4A16, 'config_groups': schemes(strategy=name, group_size=32)}, f'strategy = {name} is not supported; group')
      for name in ('block', 'tensor_group', 'token')],
    *[({**W4A16, 'config_groups': schemes(num_bits=bits)}, f'weights of {bits} bits and type int')
      for bits in (2, 3, 6, None)],
    ({**W4A16, 'config_groups': schemes(type='float')}, 'weights of 8 bits and type float is not supported'),
    ({**W4A16, 'config_groups': {'a': {'weights': None}}}, 'weights of None bits'),
    ({**W4A16, 'config_groups': schemes(strategy='group')}, 'group_size = None is not supported; the strategy group'),
    ({**W4A16, 'config_groups': schemes(actorder='sideways')}, 'actorder = sideways is not supported'),
    ({**W4A16, 'sparsity_config': {'format': 'sparse-24-bitmask'}}, 'sparsity_config is not supported'),
    ({**W4A16, 'transform_config': {'config_groups': {}}}, 'transform_config is not supported'),
    ({**W8A16}, 'weight_packed has 4 bits, and the configuration says num_bits = 8'),
]


@pytest.mark.parametrize(('config', 'why'), REFUSED)
def test_what_is_not_served_is_named(tmp_path: Path, config: dict[str, Any], why: str) -> None:
    pack = packed.compressed_packed if config['quant_method'] == 'compressed-tensors' else packed.gptq
    directory, _ = saved(tmp_path, config, pack, group_size=32)
    assert why in refused(tmp_path, directory)


def test_zero_points_that_are_promised_and_missing_are_named(tmp_path: Path) -> None:
    for pack, config in ((partial(packed.compressed_packed, zero_points=False), W4A16), (packed.compressed_int, INT)):
        bits = 4 if config is W4A16 else 8
        groups = schemes(num_bits=bits, strategy='channel', symmetric=False)
        directory, _ = saved(tmp_path, {**config, 'config_groups': groups}, pack, group_size=-1, bits=bits)
        assert 'weight_zero_point is missing, which symmetric = false needs' in refused(tmp_path, directory)


def test_zero_points_that_symmetric_does_not_explain_are_said(
        tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    config = {**W4A16, 'config_groups': schemes(num_bits=4, strategy='channel')}
    assert_imported(tmp_path, *saved(tmp_path, config, packed.compressed_packed, group_size=-1))
    assert said(core_log) == ['symmetric is true, but its zero points are not all 0; they are read as they are stored']


def test_a_head_that_was_quantized_by_itself_is_not_the_embedding(
        tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    made, _ = packed.model(packed.gptq, **FOUR)
    g = packed.grid((272, 64), 32, 5, symmetric=True)
    del made['lm_head.weight']
    made |= {f'lm_head.{part}': torch.from_numpy(np.ascontiguousarray(array)) for part, array in packed.gptq(g).items()}
    made['model.embed_tokens.weight'] = torch.ones((272, 64)).half()
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {
        'vocab_size': 272, 'tie_word_embeddings': True, 'quantization_config': {**SYM, 'lm_head': True}}))
    assert np.array_equal(checkpoint.linear('head').dequantized(), g.values)
    assert said(core_log) == ['tie_word_embeddings is true, but the model has its own quantized head, which is used']


def test_an_order_that_is_promised_and_missing_is_named(tmp_path: Path) -> None:
    config = {**W4A16, 'config_groups': schemes(num_bits=4, strategy='group', group_size=32, actorder='group')}
    directory, _ = saved(tmp_path, config, packed.compressed_packed, group_size=32)
    assert 'weight_g_idx is missing, which actorder = group needs' in refused(tmp_path, directory)


def test_eight_bits_whose_zero_points_need_nine_are_refused(tmp_path: Path) -> None:
    config = {**INT, 'config_groups': schemes(strategy='channel', symmetric=False)}
    directory, _ = saved(tmp_path, config, lambda g: {
        **packed.compressed_int(g), 'weight_zero_point': np.full(g.scales.shape, 3, np.int8)}, **ROW)
    assert 'has 8-bit integers with zero points' in refused(tmp_path, directory)


@pytest.mark.parametrize('zeros', [8, 5])
def test_awq_without_zero_points(tmp_path: Path, core_log: pytest.LogCaptureFixture, zeros: int) -> None:
    def pack(g: packed.Grid) -> Any:
        g.zeros[:] = zeros
        return packed.awq_gemm(g)

    assert_imported(tmp_path, *saved(tmp_path, {**AWQ, 'zero_point': False}, pack, group_size=32))
    assert said(core_log) == ([] if zeros == 8 else [
        'zero_point is false, but its zero points are not all 8; they are read as they are stored'])


def test_a_float_of_eight_bits_under_an_integer_format_is_named(tmp_path: Path) -> None:
    directory, _ = saved(tmp_path, INT, lambda g: {**per_tensor(g), 'weight': np.zeros(g.q.shape, np.float16)}, **ROW)
    assert 'weight has the type F16 instead of I8' in refused(tmp_path, directory)
