# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face directories that the test writes: what arrives, in which precision, and what is refused."""
from __future__ import annotations

from pathlib import Path
import subprocess
import sys
from typing import Any

from importing import imported, refused
import numpy as np
import pytest
from small_huggingface import changed, expected, save, tensors
import torch

from tinychat_core.checkpoint import rtn
from tinychat_core.cli import main
from tinychat_core.errors import TinyChatError
from tinychat_core.importers import import_model
from tinychat_core.loading.reader import Checkpoint


@pytest.mark.parametrize('shards', [1, 3])
@pytest.mark.parametrize(('dtype', 'format_'), [(torch.float16, 'f16'), (torch.bfloat16, 'bf16')])
def test_16_bits_arrive_as_they_are(tmp_path: Path, dtype: torch.dtype, format_: str, shards: int) -> None:
    made = tensors(dtype)
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, shards=shards))
    assert (checkpoint.manifest.weights, checkpoint.manifest.family) == ('W16', 'llama')
    for name in ('embedding', 'layers.1.attn.qkv', 'layers.1.mlp.gate_up', 'layers.1.mlp.down', 'head'):
        assert checkpoint.manifest.tensors[name].format == format_
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(made, name))
    assert np.array_equal(checkpoint.array('norm.weight'), expected(made, 'norm.weight'))


def test_float32_is_rounded_to_fp16(tmp_path: Path) -> None:
    made = tensors()
    linear = imported(tmp_path, save(tmp_path / 'theirs', made)).linear('layers.1.attn.qkv')
    assert linear.format == 'f16'
    assert np.array_equal(linear.dequantized(), expected(made, 'layers.1.attn.qkv').astype(np.float16))


def test_float32_that_was_bf16_becomes_bf16_again(tmp_path: Path) -> None:
    made = {name: tensor.float() for name, tensor in tensors(torch.bfloat16).items()}
    linear = imported(tmp_path, save(tmp_path / 'theirs', made)).linear('head')
    assert linear.format == 'bf16' and np.array_equal(linear.dequantized(), expected(made, 'head'))


def test_what_float32_and_float64_round_is_said_once(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    made = changed(tensors(), lm_head__weight=tensors()['lm_head.weight'].double() + 2.0 ** -40)
    head = imported(tmp_path, save(tmp_path / 'theirs', made)).linear('head')
    assert np.array_equal(head.dequantized(), expected(made, 'head').astype(np.float16))
    said = [record.getMessage().partition(': ')[2] or record.getMessage() for record in core_log.records]
    assert sorted(said) == ['F64 is rounded to F32',
                            'embedding is float32 and rounded to 16 bits, like all other float32 tensors']


def test_q_and_k_of_different_types_become_16_bits(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    made = tensors(torch.bfloat16)
    for name, tensor in made.items():
        if name.endswith('q_proj.weight'):
            made[name] = tensor.half()
    qkv = imported(tmp_path, save(tmp_path / 'theirs', made)).linear('layers.1.attn.qkv')
    assert np.array_equal(qkv.dequantized(), expected(made, 'layers.1.attn.qkv').astype(np.float16))
    assert 'is float32 and rounded' not in core_log.text or not np.array_equal(
        qkv.dequantized(), expected(made, 'layers.1.attn.qkv'))


def test_w4_rounds_the_layers_and_keeps_eight_bits_at_both_ends(tmp_path: Path) -> None:
    made = tensors(torch.bfloat16)
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made), weights='W4', group_size=32)
    assert (checkpoint.manifest.weights, checkpoint.manifest.group_size) == ('W4', 32)
    formats = {name: entry.format for name, entry in checkpoint.manifest.tensors.items() if entry.format != 'f32'}
    assert {name for name, format_ in formats.items() if format_ == 'w8g'} == {'embedding', 'head'}
    assert set(formats.values()) == {'w4z', 'w8g'}
    rounded = rtn.four_bits(expected(made, 'layers.1.attn.qkv'), 32)
    assert np.array_equal(checkpoint.linear('layers.1.attn.qkv').dequantized(), rounded.dequantized())


def test_w8_rounds_everything_to_eight_bits(tmp_path: Path) -> None:
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', tensors()), weights='W8')
    assert (checkpoint.manifest.weights, checkpoint.manifest.group_size) == ('W8', 32)
    assert {entry.format for entry in checkpoint.manifest.tensors.values()} == {'w8g', 'f32'}


def test_the_small_files_come_along_untouched(tmp_path: Path) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    (directory / 'chat_template.jinja').write_text('{{ messages }}')
    (directory / 'generation_config.json').write_text('{"eos_token_id": [2, 7], "bos_token_id": 1}')
    (directory / 'README.md').write_text('not this one')
    checkpoint = imported(tmp_path, directory)
    names = {'config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'}
    assert set(checkpoint.manifest.files) == names
    for name in names:
        assert (checkpoint.path / name).read_bytes() == (directory / name).read_bytes()
    assert checkpoint.manifest.model.eos_token_ids == [2, 7]


@pytest.mark.parametrize(('text', 'ids'), [('{"eos_token_id": 7}', [7]), ('{"eos_token_id": null}', [2]), ('{}', [2])])
def test_what_ends_an_answer(tmp_path: Path, text: str, ids: list[int]) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    (directory / 'generation_config.json').write_text(text)
    assert imported(tmp_path, directory).manifest.model.eos_token_ids == ids


# The embedding and a norm, as others save them.
@pytest.mark.parametrize(('base', 'head'), [
    ('', 'lm_head'), ('language_model.model.', 'language_model.lm_head'), ('model.language_model.', 'lm_head')])
def test_names_may_begin_otherwise(tmp_path: Path, base: str, head: str) -> None:
    made = tensors(torch.float16)
    renamed = {name.replace('model.', base, 1) if name.startswith('model.') else f'{head}.weight': tensor
               for name, tensor in made.items()}
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', renamed))
    for name in ('embedding', 'head', 'layers.1.attn.qkv'):
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(made, name))


def test_a_head_that_is_not_there_is_named(tmp_path: Path) -> None:
    directory = save(tmp_path / 'theirs', changed(tensors(), lm_head__weight=None))
    assert 'has no tensor lm_head.weight' in refused(tmp_path, directory)


def test_a_tied_head_is_not_stored_again(tmp_path: Path) -> None:
    config = {'tie_word_embeddings': True}
    plain = tensors()
    for made in (changed(plain, lm_head__weight=plain['model.embed_tokens.weight'].clone()),
                 changed(plain, lm_head__weight=None)):
        directory = save(tmp_path / f'theirs {len(made)}', made, config)
        import_model(str(directory), tmp_path / f'ours {len(made)}')
        manifest = Checkpoint.open(tmp_path / f'ours {len(made)}').manifest
        assert manifest.model.tied_head and 'head' not in manifest.tensors


def test_a_run_that_was_cut_off_is_taken_up_only_for_the_same_weights(tmp_path: Path) -> None:
    directory = save(tmp_path / 'theirs', tensors())

    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_model(str(directory), tmp_path / 'ours', progress=stop, weights='W8')
    assert imported(tmp_path, directory, weights='W4', group_size=32).linear('layers.0.attn.o').format == 'w4z'


def test_gguf_weights_are_rounded_where_that_is_asked_for(tmp_path: Path) -> None:
    import tiny_llama

    made = tiny_llama.tensors('Q8_0')
    source = tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.interleaved(made))
    linear = imported(tmp_path, source, weights='W4', group_size=32).linear('layers.1.attn.qkv')
    rounded = rtn.four_bits(tiny_llama.expected(made)['layers.1.attn.qkv'], 32)
    assert linear.format == 'w4z' and np.array_equal(linear.dequantized(), rounded.dequantized())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    assert main(['import', str(directory), str(tmp_path / 'ours'), '--weights', 'W4', '--group-size', '32']) == 0
    assert Checkpoint.open(tmp_path / 'ours').manifest.group_size == 32
    capsys.readouterr()
    assert main(['import', str(directory), str(tmp_path / 'other'), '--weights', 'W4']) == 2
    assert 'a group size of 128 does not divide a width of 64: use 32' in capsys.readouterr().err


def test_importing_needs_no_torch(tmp_path: Path) -> None:
    directory = save(tmp_path / 'theirs', tensors(torch.bfloat16))
    code = ('import sys; from pathlib import Path; from tinychat_core.importers import import_model\n'
            'import_model(sys.argv[1], Path(sys.argv[2]), weights="W4", group_size=32)\n'
            'print({"torch", "transformers"} & set(sys.modules))')
    done = subprocess.run([sys.executable, '-c', code, str(directory), str(tmp_path / 'ours')], capture_output=True,
                          text=True, cwd=Path(__file__).parents[3])
    assert done.stdout == 'set()\n', done.stderr


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'model__norm__weight': None}, 'has no tensor model.norm.weight'),
    ({'model__norm__weight': torch.ones(32)}, 'model.norm has the shape [32] instead of [64]'),
    ({'model__extra__weight': torch.ones(32)}, "has the tensor model.extra.weight, which the family 'llama'"),
    ({'model__layers__0__self_attn__rotary_emb__inv_freq2': torch.ones(3)}, 'inv_freq2, which the family'),
    ({'lm_head__weight': torch.full((270, 64), torch.nan)}, 'head has weights that are not finite'),
    ({'model__embed_tokens__weight': torch.full((270, 64), torch.inf)}, 'embedding has weights that are not finite'),
    ({'model__norm__weight': torch.full((64,), torch.nan)}, 'model.norm.weight has numbers that are not finite'),
    ({'lm_head__weight': torch.full((270, 64), 1e60, dtype=torch.float64)}, 'head has weights that are not finite'),
    ({'lm_head__weight': torch.ones((270, 64), dtype=torch.complex64)}, 'lm_head.weight has the type C64'),
    ({'lm_head__weight': torch.ones((270, 64), dtype=torch.float8_e4m3fn)}, 'lm_head.weight has the type F8_E4M3'),
    ({'lm_head__weight': torch.ones((270, 64), dtype=torch.int8)}, 'lm_head.weight has the type I8'),
    ({'model__layers__1__self_attn__q_proj__bias': torch.ones(64)}, 'only some of'),
    ({'model__layers__1__self_attn__o_proj__bias': torch.ones(32)}, 'o_proj.bias has the shape [32] instead of [64]'),
])
@pytest.mark.parametrize('weights', [None, 'W8'])
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, changes: dict[str, Any], reason: str,
                                           weights: str | None) -> None:
    directory = save(tmp_path / 'theirs', changed(tensors(), **changes))
    assert reason in refused(tmp_path, directory, weights=weights)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bits_that_are_not_finite_are_named(tmp_path: Path, dtype: torch.dtype) -> None:
    made = changed(tensors(dtype), lm_head__weight=torch.full((270, 64), torch.inf, dtype=dtype))
    assert 'head has weights that are not finite' in refused(tmp_path, save(tmp_path / 'theirs', made))


def test_what_says_nothing_is_left_out(tmp_path: Path) -> None:
    """Old checkpoints carry the rotary table of every layer."""
    name = 'model__layers__0__self_attn__rotary_emb__inv_freq'
    imported(tmp_path, save(tmp_path / 'theirs', changed(tensors(), **{name: torch.ones(16)})))


def test_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / 'theirs').mkdir()
    assert 'theirs has no config.json; give a Hugging Face directory' in refused(tmp_path, tmp_path / 'theirs')


def test_no_tokenizer(tmp_path: Path) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    (directory / 'tokenizer.json').unlink()
    assert 'has no tokenizer.json; get the files of its tokenizer as well' in refused(tmp_path, directory)
    (directory / 'tokenizer.model').touch()
    assert 'has tokenizer.model, but no tokenizer.json; make one with transformers' in refused(tmp_path, directory)


def test_a_missing_shard(tmp_path: Path) -> None:
    directory = save(tmp_path / 'theirs', tensors(), shards=3)
    (directory / 'model-00002-of-00003.safetensors').unlink()
    assert 'model-00002-of-00003.safetensors is missing; get the file again' in refused(tmp_path, directory)


@pytest.mark.parametrize('length', [0, 5, 1000, 40000])
def test_a_truncated_shard(tmp_path: Path, length: int) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    whole = (directory / 'model.safetensors').read_bytes()
    (directory / 'model.safetensors').write_bytes(whole[:length])
    message = refused(tmp_path, directory)
    assert 'model.safetensors' in message and 'get the file again' in message


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    (directory / 'model.safetensors').rename(directory / 'pytorch_model.bin')
    assert 'has its weights in .bin files, which can contain code' in refused(tmp_path, directory)


@pytest.mark.parametrize(('name', 'text', 'reason'), [
    ('config.json', '{', 'config.json is damaged'), ('config.json', '[]', 'config.json is damaged'),
    ('config.json', '{"model_type": "t5"}', "the model type 't5' is not supported"),
    ('generation_config.json', '7', 'generation_config.json is damaged'),
    ('model.safetensors.index.json', '{}', 'it has no weight_map'),
    ('model.safetensors.index.json', 'null', 'model.safetensors.index.json is damaged'),
])
def test_damaged_json(tmp_path: Path, name: str, text: str, reason: str) -> None:
    directory = save(tmp_path / 'theirs', tensors())
    (directory / name).write_text(text)
    if 'index' in name:
        (directory / 'model.safetensors').unlink()
    assert reason in refused(tmp_path, directory)


@pytest.mark.parametrize(('size', 'width'), [(128, 64), (64, 96)])
def test_a_group_size_that_does_not_fit_names_those_that_do(tmp_path: Path, size: int, width: int) -> None:
    reason = refused(tmp_path, save(tmp_path / 'theirs', tensors()), weights='W4', group_size=size)
    assert f'a group size of {size} does not divide a width of {width}: use 32' in reason


def test_what_is_neither_a_path_nor_an_id(tmp_path: Path) -> None:
    for source in ('no such thing', 'a/b/c', '/nowhere/model', 'models/none.gguf'):
        with pytest.raises(TinyChatError, match='does not exist; give a GGUF file, a Hugging Face directory'):
            import_model(source, tmp_path / 'ours')
