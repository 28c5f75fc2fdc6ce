# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""GGUF files that the test writes: what they mean arrives bit for bit, and what is not served is named."""
from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import importing
import numpy as np
from plain_gguf import random_tensor, Tensor
import pytest
import tiny_llama
from tokenizers import Tokenizer

from tinychat_core.errors import TinyChatError, UnsupportedModelError
from tinychat_core.importers import import_model
from tinychat_core.loading.reader import Checkpoint
from tinychat_core.text.tokenizer import Tokenizer as OurTokenizer


def values(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return every tensor of a checkpoint in float32."""
    return {name: checkpoint.array(name) if entry.format == 'f32' else checkpoint.linear(name).dequantized()
            for name, entry in checkpoint.manifest.tensors.items()}


def imported(tmp_path: Path, made: dict[str, Tensor], **changes: Any) -> Checkpoint:
    source = tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.interleaved(made), **changes)
    return importing.imported(tmp_path, source)


def refused(tmp_path: Path, made: dict[str, Tensor] | None = None, **changes: Any) -> str:
    """Import what must be refused; return the message; nothing is left that loads."""
    source = tiny_llama.save(tmp_path / 'tiny.gguf', made or tiny_llama.tensors(), **changes)
    return importing.refused(tmp_path, source)


@pytest.mark.parametrize(('kind', 'format_'), [('Q4_0', 'w4z'), ('Q4_1', 'w4m'), ('Q8_0', 'w8g'),
                                               ('F16', 'f16'), ('BF16', 'bf16'), ('F32', 'f16')])
@pytest.mark.parametrize('tied', [True, False])
def test_every_number_arrives_bit_for_bit(tmp_path: Path, kind: str, format_: str, tied: bool) -> None:
    made = tiny_llama.tensors(kind, tied=tied)
    checkpoint = imported(tmp_path, made)
    found, expected = values(checkpoint), tiny_llama.expected(made)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert np.array_equal(found[name], array), name
    assert checkpoint.manifest.tensors['layers.0.attn.qkv'].format == format_


def test_the_description(tmp_path: Path) -> None:
    manifest = imported(tmp_path, tiny_llama.tensors()).manifest
    assert manifest.model.to_json() == {
        'vocab_size': 259, 'hidden_size': 64, 'intermediate_size': 96, 'layers': 2, 'heads': 3, 'kv_heads': 1,
        'head_dim': 32, 'context_length': 128, 'norm': 'rms', 'norm_eps': pytest.approx(1e-5),
        'activation': 'silu', 'gated': True, 'rope': {'theta': 10000.0, 'dim': 32}, 'tied_head': True,
        'bos_token_id': 1, 'eos_token_ids': [2]}
    assert (manifest.family, manifest.weights, manifest.group_size) == ('llama', 'W4', 32)
    assert [shard.file for shard in manifest.shards] == ['model-00001-of-00001.safetensors']


def test_notes_of_other_programs_do_not_matter(tmp_path: Path) -> None:
    imported(tmp_path, tiny_llama.tensors(), llama__tensor_data_layout='Meta AI original pth', llama__expert_count=0,
             llama__rope__scaling__finetuned=True, general__file_type=2)


def test_the_small_files(tmp_path: Path) -> None:
    directory = imported(tmp_path, tiny_llama.tensors(), tokenizer__ggml__eot_token_id=0).path
    config = json.loads((directory / 'config.json').read_text())
    assert config['architectures'] == ['LlamaForCausalLM'] and config['head_dim'] == 32
    assert json.loads((directory / 'generation_config.json').read_text())['eos_token_id'] == [2, 0]
    tokenizer = json.loads((directory / 'tokenizer_config.json').read_text())
    assert (tokenizer['bos_token'], tokenizer['eos_token']) == ('<|im_start|>', '<|im_end|>')
    assert tokenizer['chat_template'] == tiny_llama.metadata()['tokenizer.chat_template']
    text = 'Olé\t2026 <|im_end|>'
    ids = Tokenizer.from_file(str(directory / 'tokenizer.json')).encode(text).ids
    assert ids[-1] == 2 and len(ids) == len('Olé\t2026 '.encode()) + 1


def test_the_majority_of_the_numbers_names_the_precision(tmp_path: Path) -> None:
    made = tiny_llama.tensors('Q4_1', kinds={'token_embd': 'F16', 'attn_output': 'Q8_0'})
    manifest = imported(tmp_path, made).manifest
    assert (manifest.weights, manifest.group_size) == ('W4', 32)


@pytest.mark.parametrize(('kinds', 'formats'), [
    (('Q4_0', 'Q4_1', 'Q4_0'), ['w4z', 'w4m', 'w4z']), (('Q4_0', 'Q4_0', 'Q8_0'), ['w4z', 'w8g']),
    (('Q5_0', 'Q8_0', 'Q8_0'), ['w5z', 'w8g']), (('Q4_0', 'F32', 'Q4_0'), ['w4z', 'f16', 'w4z']),
    (('IQ4_NL', 'Q4_0', 'Q8_0'), ['w8g', 'w4z', 'w8g']), (('Q4_0', 'F64', 'BF16'), ['w4z', 'f16', 'bf16'])])
def test_q_k_and_v_of_different_types_are_parts(tmp_path: Path, kinds: tuple[str, ...], formats: list[str]) -> None:
    """Each part keeps its format; neighbours of the same format are one part."""
    made = tiny_llama.tensors('Q4_0', {f'attn_{name}': kind for name, kind in zip('qkv', kinds, strict=True)})
    checkpoint = imported(tmp_path, made)
    parts = [checkpoint.linear(f'layers.1.attn.qkv.{i}') for i in range(len(formats))]
    assert [part.format for part in parts] == formats
    assert not {f'layers.1.attn.qkv.{len(formats)}', 'layers.1.attn.qkv'} & set(checkpoint.manifest.tensors)
    found = np.concatenate([part.dequantized() for part in parts])
    wanted = tiny_llama.expected(made)['layers.1.attn.qkv']
    assert np.array_equal(found, wanted) if not {'F32', 'F64'} & {*kinds} else np.allclose(
        found, wanted, rtol=2 ** -11, atol=1e-7)


def test_gate_and_up_of_different_types_are_parts(tmp_path: Path) -> None:
    made = tiny_llama.tensors('Q4_0', {'ffn_up': 'Q5_1'})
    checkpoint = imported(tmp_path, made)
    parts = [checkpoint.linear(f'layers.1.mlp.gate_up.{i}') for i in range(2)]
    assert [part.format for part in parts] == ['w4z', 'w5m']
    assert np.array_equal(np.concatenate([part.dequantized() for part in parts]),
                          tiny_llama.expected(made)['layers.1.mlp.gate_up'])


def test_biases_come_along_in_the_order_of_their_rows(tmp_path: Path) -> None:
    made, random = tiny_llama.tensors(), np.random.default_rng(1)
    for i in range(tiny_llama.LAYERS):
        for name in ('attn_q', 'attn_k', 'attn_v'):
            rows = made[f'blk.{i}.{name}.weight'].shape[0]
            made[f'blk.{i}.{name}.bias'] = random_tensor('F32', (rows,), random)
    checkpoint = imported(tmp_path, made)
    expected = np.concatenate([made[f'blk.1.attn_{name}.bias'].values() for name in 'qkv'])
    assert np.array_equal(checkpoint.array('layers.1.attn.qkv.bias'), expected)


def test_a_bias_of_q_alone_is_refused(tmp_path: Path) -> None:
    made = tiny_llama.tensors()
    made['blk.1.attn_q.bias'] = random_tensor('F32', (96,), np.random.default_rng(1))
    assert 'only some of blk.1.attn_q, blk.1.attn_k, blk.1.attn_v have a bias' in refused(tmp_path, made)


def test_sixteen_bits_that_are_no_number_are_refused(tmp_path: Path) -> None:
    made = tiny_llama.tensors()
    damaged = np.full((64, 96), np.nan, np.float16)
    made['blk.0.ffn_down.weight'] = Tensor('F16', (64, 96), damaged.tobytes())
    assert 'layers.0.mlp.down has weights that are not finite' in refused(tmp_path, made)


@pytest.mark.parametrize('kind', ['Q4_0', 'Q4_1', 'Q8_0'])
def test_a_scale_that_is_no_number_is_refused(tmp_path: Path, kind: str) -> None:
    made = tiny_llama.tensors(kind)
    damaged = made['blk.0.ffn_down.weight']
    nan = np.float16(np.nan).tobytes()
    made['blk.0.ffn_down.weight'] = Tensor(kind, damaged.shape, nan + damaged.data[2:])
    assert 'layers.0.mlp.down has weights that are not finite' in refused(tmp_path, made)


def test_a_norm_that_is_no_number_is_refused(tmp_path: Path) -> None:
    made = tiny_llama.tensors()
    made['blk.0.ffn_norm.weight'] = Tensor('F32', (64,), np.full(64, np.inf, np.float32).tobytes())
    assert 'blk.0.ffn_norm.weight has numbers that are not finite' in refused(tmp_path, made)


@pytest.mark.parametrize('kind', ['F32', 'F64'])
@pytest.mark.parametrize(('part', 'name'), [('token_embd', 'embedding'), ('ffn_down', 'layers.0.mlp.down')])
def test_float32_beside_four_bits_becomes_16(tmp_path: Path, part: str, name: str, kind: str,
                                             core_log: pytest.LogCaptureFixture) -> None:
    made, random = tiny_llama.tensors('Q4_0'), np.random.default_rng(2)
    for key, tensor in made.items():
        if part in key:
            numbers = random.normal(size=tensor.shape).astype(np.float32)  # fp16 does not hold them
            stored = numbers if kind == 'F32' else numbers.astype(np.float64)
            made[key] = Tensor(kind, tensor.shape, stored.tobytes())
    checkpoint = imported(tmp_path, made)
    linear = checkpoint.linear(name)
    assert linear.format == 'f16'
    assert np.array_equal(linear.dequantized(), tiny_llama.expected(made)[name].astype(np.float16))
    said = [record.getMessage() for record in core_log.records]
    assert said == [f'{name} is float32 and rounded to 16 bits, like all other float32 tensors']
    assert checkpoint.linear('layers.1.mlp.gate_up').format == 'w4z'


@pytest.mark.parametrize('kinds', [('F32', 'F16', 'BF16'), ('F16', 'BF16', 'BF16')])
def test_q_k_and_v_of_different_floats(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    made = tiny_llama.tensors('Q4_0', {f'attn_{name}': kind for name, kind in zip('qkv', kinds, strict=True)})
    qkv = imported(tmp_path, made).linear('layers.1.attn.qkv')
    wanted = tiny_llama.expected(made)['layers.1.attn.qkv']
    assert qkv.format == 'f16' and np.allclose(qkv.dequantized(), wanted, rtol=2 ** -11, atol=1e-7)


def test_a_norm_of_f64(tmp_path: Path) -> None:
    made = tiny_llama.tensors()
    made['output_norm.weight'] = Tensor('F64', (64,), np.linspace(0.5, 1.5, 64).tobytes())
    assert np.array_equal(imported(tmp_path, made).array('norm.weight'), np.linspace(0.5, 1.5, 64).astype(np.float32))


@pytest.mark.parametrize(('key', 'id_'), [('bos', 4000), ('eos', 0xffffffff), ('eot', 259), ('padding', 32000)])
def test_a_special_token_that_the_vocabulary_lacks_is_left_out(tmp_path: Path, key: str, id_: int) -> None:
    source = tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.tensors(), **{
        f'tokenizer__ggml__{key}_token_id': id_})
    import_model(str(source), tmp_path / 'ours')
    model = Checkpoint.open(tmp_path / 'ours').manifest.model
    assert (model.bos_token_id, model.eos_token_ids) == (None if key == 'bos' else 1, [] if key == 'eos' else [2])
    assert OurTokenizer.open(tmp_path / 'ours').stop_ids == {0, 2}  # those that are known by their names


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'general__architecture': 'lama'},
     "the architecture 'lama' is not supported; the nearest supported ones are llama"),
    ({'general__architecture': 'mamba'}, "the architecture 'mamba' is not supported"),
    ({'general__architecture': None}, "the architecture 'None' is not supported"),
    ({'llama__expert_count': 8}, 'llama.expert_count = 8 is not supported'),
    ({'llama__rope__scaling__type': 'yarn'}, 'llama.rope.scaling.type = yarn is not supported'),
    ({'llama__rope__scaling__factor': -4.0}, 'factor = -4.0 of the rope is not supported'),
    ({'llama__attention__causal': False}, 'llama.attention.causal = False is not supported'),
    ({'llama__attention__scale': 0.5}, 'llama.attention.scale = 0.5 is not supported'),
    ({'llama__rope__scaling__yarn_beta_fast': 16.0}, 'llama.rope.scaling.yarn_beta_fast = 16.0 is not supported'),
    ({'general__type': 'adapter'}, "has the type 'adapter', not a model"),
    ({'llama__block_count': 10**6}, 'llama.block_count = 1000000, and it has 20 tensors'),
    ({'llama__block_count': 2**32 - 1}, 'llama.block_count = 4294967295, and it has 20 tensors'),
    ({'llama__rope__dimension_count': 16}, 'llama.rope.dimension_count = 16 is not supported'),
    ({'llama__rope__scaling__attn_factor': 1.2}, 'llama.rope.scaling.attn_factor = '),
    ({'llama__attention__sliding_window': 64}, 'sliding_window = 64 is not supported'),
    ({'llama__attention__sliding_window_pattern': 6}, 'sliding_window_pattern = 6 is not supported'),
    ({'llama__rope__freq_base_swa': 1e4}, 'rope_local_base_freq = 10000.0 is not supported'),
    ({'llama__rope__scaling__mscale': 64}, 'llama.rope.scaling.mscale = 64 is not supported'),
    ({'llama__attention__head_count_kv': [1, 3]}, 'llama.attention.head_count_kv = [1, 3] is not supported'),
    ({'llama__attention__head_count': 0}, 'num_attention_heads = 0 is not supported'),
    ({'llama__attention__head_count_kv': 2}, '3 heads are not a multiple of 2 KV heads'),
    ({'llama__embedding_length': None}, 'the metadata lacks llama.embedding_length'),
    ({'llama__embedding_length': 'wide'}, "hidden_size = 'wide' is not supported"),
    ({'llama__feed_forward_length': 90}, 'intermediate_size = 90 is not supported'),
    ({'tokenizer__ggml__model': 't5'}, "the tokenizer 't5' of a GGUF file is not supported"),
    ({'tokenizer__ggml__model': 'llama'}, 'the metadata lacks tokenizer.ggml.scores'),
    ({'tokenizer__ggml__pre': 'kimi-k2'}, "the pre-tokenizer 'kimi-k2' is not supported"),
    ({'tokenizer__ggml__merges': None}, 'the metadata lacks tokenizer.ggml.merges'),
    ({'tokenizer__ggml__merges': ['zzz zzz']}, 'the tokenizer of the GGUF file is damaged'),
    ({'tokenizer__ggml__token_type': [1]}, 'the tokenizer of the GGUF file is damaged'),
])
def test_what_is_not_served_is_named(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    assert reason in refused(tmp_path, **changes)


def left_out(name: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda made: made.pop(name) and None


def put_in(name: str, kind: str, shape: tuple[int, ...]) -> Callable[[dict[str, Tensor]], None]:
    return lambda made: made.update({name: random_tensor(kind, shape, np.random.default_rng(0))})


@pytest.mark.parametrize(('change', 'reason'), [
    (left_out('blk.1.ffn_norm.weight'), 'has no tensor blk.1.ffn_norm.weight'),
    (put_in('blk.0.ffn_down.weight', 'Q4_1', (64, 64)),
     'blk.0.ffn_down has the shape [64, 64] instead of [64, 96]'),
    (put_in('output_norm.weight', 'F32', (32,)), 'output_norm has the shape [32] instead of [64]'),
    (put_in('blk.0.ffn_norm.weight', 'F16', (64, 1)), 'blk.0.ffn_norm has the shape [64, 1] instead of [64]'),
    (put_in('rope_freqs.weight', 'F32', (8,)), 'rope_freqs.weight with 8 numbers is not supported'),
    (put_in('rope_freqs.weight', 'F32', (16,)), 'rope_freqs.weight with 16 numbers is not supported'),  # some negative
    (put_in('blk.2.ffn_norm.weight', 'F32', (64,)), 'has the tensor blk.2.ffn_norm.weight'),
    (put_in('blk.0.ffn_down.weight', 'IQ2_XXS', (64, 256)), 'blk.0.ffn_down.weight has the type IQ2_XXS'),
    (put_in('blk.0.ffn_down.weight', 'I8', (64, 96)), 'blk.0.ffn_down.weight has the type I8'),
])
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, change: Callable[[dict[str, Tensor]], None],
                                           reason: str) -> None:
    made = tiny_llama.tensors()
    change(made)
    assert reason in refused(tmp_path, made)


def test_an_unknown_tensor_type_is_named(tmp_path: Path) -> None:
    source = tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.tensors())
    data = bytearray(source.read_bytes())
    at = data.index(b'blk.1.ffn_up.weight') + len('blk.1.ffn_up.weight') + 4 + 16
    data[at:at + 4] = (77).to_bytes(4, 'little')
    source.write_bytes(data)
    with pytest.raises(UnsupportedModelError, match=r'blk\.1\.ffn_up\.weight has the type number 77'):
        import_model(str(source), tmp_path / 'tiny')


@pytest.mark.parametrize(('version', 'reason'), [(1, 'has GGUF version 1'), (4, 'has GGUF version 4')])
def test_other_versions_are_refused(tmp_path: Path, version: int, reason: str) -> None:
    source = tiny_llama.write(tmp_path / 'tiny.gguf', tiny_llama.metadata(), tiny_llama.tensors(), version)
    with pytest.raises(TinyChatError, match=reason):
        import_model(str(source), tmp_path / 'tiny')


def test_version_2_is_read(tmp_path: Path) -> None:
    source = tiny_llama.write(tmp_path / 'tiny.gguf', tiny_llama.metadata(), tiny_llama.tensors(), version=2)
    import_model(str(source), tmp_path / 'tiny')
    Checkpoint.open(tmp_path / 'tiny')


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    source = tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.tensors())
    whole = source.read_bytes()
    inside = np.random.default_rng(0).integers(64, len(whole), 60).tolist()
    for length in (*range(64), *inside, len(whole) - 1):
        source.write_bytes(whole[:length])
        with pytest.raises(TinyChatError):
            import_model(str(source), tmp_path / 'tiny')
        assert not (tmp_path / 'tiny').exists()


def test_a_header_with_wrong_bytes_is_refused_or_read_and_never_a_crash(tmp_path: Path) -> None:
    source = tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.tensors(), tokenizer__ggml__tokens=['a'] * 20)
    whole, random = source.read_bytes(), np.random.default_rng(0)
    header = whole.index(b'output_norm.weight') + 64
    for attempt in range(300):
        data = bytearray(whole)
        for _ in range(1 + attempt % 3):
            data[int(random.integers(4, header))] = int(random.choice([0, 1, 9, 127, 255]))
        source.write_bytes(data)
        with pytest.raises(TinyChatError) as caught:
            import_model(str(source), tmp_path / 'tiny')  # twenty tokens for a vocabulary of 259: never whole
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize(('name', 'content', 'reason'), [
    ('nothing.gguf', None, 'nothing.gguf does not exist'),
    ('text.gguf', b'GGML and so on', 'text.gguf is not a GGUF file'),
    ('empty.gguf', b'', 'cannot read'),
])
def test_what_is_no_gguf_file(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TinyChatError, match=reason):
        import_model(str(tmp_path / name), tmp_path / 'out')
