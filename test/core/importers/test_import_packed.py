# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""AutoAWQ, GPTQ, compressed-tensors and llm-awq: what others quantized arrives bit for bit."""
from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from importing import imported, refused
import numpy as np
import packed_formats as packed
from packed_formats import AWQ, GPTQ, GPTQ8, MATRICES, W4A16, W8A8, W8A16
import pytest
from small_huggingface import CONFIG, expected, save, SHAPES
import torch

from tinychat_core.cli import main
from tinychat_core.engine import Engine

# Widths that 64 divides, for layouts that need it.
WIDE: dict[str, tuple[int, ...]] = {name: tuple({96: 128}.get(n, n) for n in shape) for name, shape in SHAPES.items()}

# The quantization_config, how a matrix is packed, the options of the grid, and our format.
EXACT: dict[str, tuple[dict[str, Any], Any, dict[str, Any], str]] = {
    'awq gemm': (AWQ, packed.awq_gemm, {'group_size': 32}, 'w4z'),
    'awq gemv': ({**AWQ, 'version': 'gemv'}, packed.awq_gemv, {'group_size': 32}, 'w4z'),
    'awq exllama': ({**AWQ, 'version': 'exllama'}, packed.awq_gemm, {'group_size': 32}, 'w4z'),
    'gptq': (GPTQ, packed.gptq, {'group_size': 32}, 'w4z'),
    'gptq sym': ({**GPTQ, 'sym': True, 'checkpoint_format': 'gptq'}, packed.gptq,
                 {'group_size': 32, 'symmetric': True}, 'w4z'),
    'gptq v2': ({**GPTQ, 'checkpoint_format': 'gptq_v2'}, partial(packed.gptq, less_one=False),
                {'group_size': 32}, 'w4z'),
    'gptq a scale a row': ({**GPTQ, 'group_size': -1}, packed.gptq, {'group_size': -1}, 'w4z'),
    'gptq 8 bits': (GPTQ8, partial(packed.gptq, bits=8), {'group_size': 32, 'bits': 8, 'symmetric': True}, 'w8g'),
    'gptq 8 bits a scale a row': ({**GPTQ8, 'group_size': -1}, partial(packed.gptq, bits=8),
                                  {'group_size': -1, 'bits': 8, 'symmetric': True}, 'w8c'),
    'W4A16': (W4A16, partial(packed.compressed_packed, zero_points=False),
              {'group_size': 32, 'symmetric': True}, 'w4z'),
    'W4A16 asymmetric': (W4A16, packed.compressed_packed, {'group_size': 32}, 'w4z'),
    'W4A16 a scale a row': (W4A16, packed.compressed_packed, {'group_size': -1}, 'w4z'),
    'W8A16': (W8A16, partial(packed.compressed_packed, bits=8, zero_points=False),
              {'group_size': 32, 'bits': 8, 'symmetric': True}, 'w8g'),
    'W8A8': (W8A8, packed.compressed_int, {'group_size': -1, 'bits': 8, 'symmetric': True}, 'w8c'),
}


@pytest.mark.parametrize('kind', EXACT)
def test_every_number_arrives(tmp_path: Path, kind: str) -> None:
    config, pack, options, format_ = EXACT[kind]
    made, means = packed.model(pack, **options)
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': config}))
    assert checkpoint.manifest.weights == ('W8' if format_ in ('w8g', 'w8c') else 'W4')
    for name in MATRICES:
        assert checkpoint.manifest.tensors[name].format == ('f16' if name in ('embedding', 'head') else format_)
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(means, name)), name


@pytest.mark.parametrize('version', ['gemv_fast', 'llm-awq 2', 'llm-awq 1'])
def test_llm_awq(tmp_path: Path, version: str) -> None:
    """The second version stores -s*z in fp16, so the weight is s*q plus that."""
    pack = packed.awq_gemv if version == 'llm-awq 1' else packed.awq_fast
    made, means = packed.model(pack, 64, WIDE)
    config: dict[str, Any] = {'intermediate_size': 128}
    if version == 'gemv_fast':
        directory = save(tmp_path / 'theirs', made, {
            **config, 'quantization_config': {**AWQ, 'version': version, 'group_size': 64}})
        checkpoint = imported(tmp_path, directory)
    else:
        directory = save(tmp_path / 'theirs', {'none': torch.zeros(1)}, config)
        torch.save(made, tmp_path / 'packed.pt')
        (directory / 'model.safetensors').unlink()
        checkpoint = imported(tmp_path, directory, packed=tmp_path / 'packed.pt')
    for name in MATRICES:
        ours = checkpoint.linear(name).dequantized()
        if version == 'llm-awq 1':
            assert np.array_equal(ours, expected(means, name))
        else:
            assert np.max(np.abs(ours - expected(means, name))) <= 0.1 * 15 * 2 ** -11
    assert checkpoint.linear('layers.0.attn.qkv').format == ('w4z' if version == 'llm-awq 1' else 'w4m')


@pytest.mark.parametrize('kind', ['awq gemm', 'gptq', 'W8A8'])
def test_logits_are_those_of_the_dequantized_model(tmp_path: Path, kind: str) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config, pack, options, _ = EXACT[kind]
    made, means = packed.model(pack, **options)
    imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': config}))
    theirs = LlamaForCausalLM(LlamaConfig(**CONFIG)).eval()
    theirs.load_state_dict(means)
    tokens = [1, 5, 99, 200, 269, 3]
    with torch.inference_mode():
        wanted = theirs(torch.tensor([tokens])).logits[0].numpy()
    engine = Engine.open(tmp_path / 'ours', precision='W8A16' if kind == 'W8A8' else 'W4A16', threads=1)
    assert np.max(np.abs(engine.score(tokens) - wanted)) <= 1e-3 * np.max(np.abs(wanted))


def test_modules_that_were_not_converted_stay_in_16_bits(tmp_path: Path) -> None:
    config = {**AWQ, 'modules_to_not_convert': ['down_proj']}
    made, means = packed.model(packed.awq_gemm, 32, plain=('down_proj',))
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': config}))
    assert checkpoint.linear('layers.1.mlp.down').format == 'f16'
    assert checkpoint.linear('layers.1.attn.qkv').format == 'w4z'
    assert np.array_equal(checkpoint.linear('layers.1.mlp.down').dequantized(), expected(means, 'layers.1.mlp.down'))


@pytest.mark.parametrize(('name', 'content'), [
    ('quantize_config.json', '{"bits": 4, "group_size": 32, "desc_act": false, "sym": false}'),
    ('quant_config.json', '{"w_bit": 4, "q_group_size": 32, "zero_point": true, "version": "GEMM"}')])
def test_files_of_older_tools(tmp_path: Path, name: str, content: str) -> None:
    made, means = packed.model(packed.gptq if name == 'quantize_config.json' else packed.awq_gemm, 32)
    directory = save(tmp_path / 'theirs', made)
    (directory / name).write_text(content)
    linear = imported(tmp_path, directory).linear('layers.1.attn.qkv')
    assert np.array_equal(linear.dequantized(), expected(means, 'layers.1.attn.qkv'))


def test_shards(tmp_path: Path) -> None:
    made, means = packed.model(packed.awq_gemm, 32)
    linear = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': AWQ}, shards=3)).linear('head')
    assert np.array_equal(linear.dequantized(), expected(means, 'head'))


@pytest.mark.parametrize(('config', 'reason'), [
    ({'quant_method': 'bitsandbytes'}, 'quant_method = bitsandbytes is not supported; awq, gptq, compressed-'),
    ({'quant_method': 'fp8'}, 'quant_method = fp8 is not supported'),
    ([], 'quant_method = None is not supported'),
    ({**AWQ, 'bits': 3}, 'AWQ with bits = 3 is not supported; 4 is'),
    ({**GPTQ, 'bits': 3}, 'GPTQ with bits = 3 is not supported; 4 and 8 are'),
    ({**GPTQ, 'checkpoint_format': 'marlin'}, 'checkpoint_format = marlin is not supported; gptq and gptq_v2 are'),
    ({**GPTQ, 'dynamic': {'+:.*down.*': {'bits': 3}}}, 'bits = 3 in quantization_config.dynamic.+:.*down.* is not'),
    ({**GPTQ, 'dynamic': 7}, 'quantization_config is damaged: dynamic = 7 is not options'),
    ({**W4A16, 'format': 'float-quantized'}, 'format = float-quantized is not supported; pack-quantized and'),
    ({**W4A16, 'kv_cache_scheme': {'num_bits': 8}}, 'kv_cache_scheme is not supported'),
    ({**W4A16, 'config_groups': {'a': {'weights': {'num_bits': 8, 'type': 'float'}}}}, '8 bits and type float'),
    ({'quant_method': 'compressed-tensors'}, 'without config_groups is not supported'),
])
def test_what_is_not_served_is_named(tmp_path: Path, config: Any, reason: str) -> None:
    made, _ = packed.model(packed.awq_gemm, 32)
    assert reason in refused(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': config or [1]}))


BASE = 'model.layers.1.self_attn.o_proj'


@pytest.mark.parametrize(('part', 'value', 'reason'), [
    ('qzeros', None, f'{BASE}.qzeros is missing; the checkpoint is incomplete'),
    ('scales', None, f'{BASE}.scales is missing'),
    ('qweight', torch.zeros((64, 9), dtype=torch.int32), 'does not fit qweight [64, 9]'),
    ('qweight', torch.zeros(64, dtype=torch.int32), 'qweight has the shape [64]'),
    ('qzeros', torch.zeros((3, 8), dtype=torch.int32), 'qzeros has the shape [3, 8] instead of [2, 8]'),
    ('qzeros', torch.zeros((2, 8)), 'qzeros has the type F32 instead of I32'),
    ('scales', torch.full((2, 64), torch.nan, dtype=torch.float16), 'scales has numbers that are not finite'),
    ('scales', torch.full((2, 64), 1e6), 'beyond the range of fp16'),
    ('scales', torch.ones((3, 64), dtype=torch.float16), 'scales are 3 for 64 columns, and group_size = 32'),
    ('scales', torch.ones((4, 64), dtype=torch.float16), 'scales are 4 for 64 columns, and group_size = 32'),
])
def test_parts_that_do_not_fit_are_named(tmp_path: Path, part: str, value: Any, reason: str) -> None:
    made, _ = packed.model(packed.awq_gemm, 32)
    made = {name: tensor for name, tensor in {**made, f'{BASE}.{part}': value}.items() if tensor is not None}
    message = refused(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': AWQ}))
    assert reason in message and 'theirs' in message


def test_groups_too_small(tmp_path: Path) -> None:
    made, _ = packed.model(packed.awq_gemm, 16)
    message = refused(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': {**AWQ, 'group_size': 16}}))
    assert 'has groups of 16 columns; supported are 32, 64, 128' in message


def test_eight_bits_with_zero_points_that_do_not_fit(tmp_path: Path) -> None:
    made, _ = packed.model(partial(packed.gptq, bits=8), 32, bits=8)
    message = refused(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': GPTQ8}))
    assert 'has 8-bit integers with zero points' in message


class _Code:
    def __reduce__(self) -> Any:
        return print, ('code ran',)


def test_a_pickle_that_wants_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = save(tmp_path / 'theirs', {'none': torch.zeros(1)})
    torch.save({'model.norm.weight': _Code()}, tmp_path / 'evil.pt')
    assert main(['import', str(directory), str(tmp_path / 'ours'), '--load-quant', str(tmp_path / 'evil.pt')]) == 2
    streams = capsys.readouterr()
    assert 'evil.pt would run code when opened' in streams.err and 'code ran' not in streams.out
    assert not (tmp_path / 'ours').exists()


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off', b'\x80\x02}q\x00.'])
def test_a_damaged_pt_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'packed.pt').write_bytes(content)
    directory = save(tmp_path / 'theirs', {'none': torch.zeros(1)})
    assert 'packed.pt' in refused(tmp_path, directory, packed=tmp_path / 'packed.pt')


def test_what_float32_holds_beside_packed_matrices_is_rounded_and_said(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model that was quantized in float32: its scales, embedding and head are float32, too."""
    config, pack, options, _ = EXACT['W4A16 asymmetric']
    made, means = packed.model(pack, **options)
    floats = ('weight_scale', 'embed_tokens.weight', 'lm_head.weight')
    made = {name: tensor.float() * (1 + 2 ** -20) if name.endswith(floats) else tensor for name, tensor in made.items()}
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': config}))
    for name in MATRICES:
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(means, name)), name
    said = [record.message.partition(': ')[2] for record in caplog.records]
    assert len(said) == 2 and 'its scales are more precise than fp16, and are rounded to fp16' in said
    assert caplog.text.count('embedding is float32 and rounded to 16 bits') == 1  # and says that of the head


def test_float32_beside_packed_matrices_that_is_no_number_is_refused(tmp_path: Path) -> None:
    config, pack, options, _ = EXACT['W4A16']
    made, _ = packed.model(pack, **options)
    made['lm_head.weight'] = torch.full(SHAPES['lm_head.weight'], torch.nan)
    directory = save(tmp_path / 'theirs', made, {'quantization_config': config})
    assert 'head has weights that are not finite' in refused(tmp_path, directory)


def test_float32_that_16_bits_hold_is_kept_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config, pack, options, _ = EXACT['W4A16']
    made, means = packed.model(pack, **options)
    made['lm_head.weight'] = made['lm_head.weight'].float()
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': config}))
    assert np.array_equal(checkpoint.linear('head').dequantized(), expected(means, 'head'))
    assert not caplog.records
