# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: where the weights of a Hugging Face directory are, and in which type."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import json
from pathlib import Path
import shutil
from typing import Any

import packed_formats as packed
from safetensors.torch import load_file, save_file
import small_huggingface as small
import torch

Case = Callable[[Path], Sequence[str]]


def directory(dtype: torch.dtype = torch.float16, shards: int = 1,
              change: Callable[[Path], None] = lambda _: None) -> Case:
    """Return a directory in a type and a number of shards, after a change."""
    def case(tmp_path: Path) -> Sequence[str]:
        made = small.save(tmp_path / 'theirs', small.tensors(dtype), shards=shards)
        change(made)
        return [str(made)]

    return case


def typed(dtype: torch.dtype, stored: torch.dtype) -> Case:
    """Return a directory with numbers of one type, stored in another."""
    def case(tmp_path: Path) -> Sequence[str]:
        return [str(small.save(tmp_path / 'theirs', {
            name: tensor.to(stored) for name, tensor in small.tensors(dtype).items()}))]

    return case


def renamed(old: str, new: str) -> Callable[[Path], None]:
    def change(made: Path) -> None:
        (made / old).rename(made / new)

    return change


def without(name: str) -> Callable[[Path], None]:
    return lambda made: (made / name).unlink()


def beside(name: str) -> Callable[[Path], None]:
    """Put an empty file into the directory."""
    def change(made: Path) -> None:
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text('{}')

    return change


def link(name: str, target: str) -> Callable[[Path], None]:
    def change(made: Path) -> None:
        (made / name).unlink(missing_ok=True)
        (made / name).symlink_to(target)

    return change


def outside(made: Path) -> None:
    (made / 'model.safetensors').rename(made.parent / 'model.safetensors')
    (made / 'model.safetensors.index.json').write_text('{"weight_map": {"a": "../model.safetensors"}}')


def gptq(tmp_path: Path) -> Sequence[str]:
    """Return what AutoGPTQ saves: quantize_config.json, and a file named after the bits and the group size."""
    tensors, _ = packed.model(packed.gptq, group_size=32)
    made = small.save(tmp_path / 'theirs', tensors)
    options = {'bits': 4, 'group_size': 32, 'desc_act': False, 'sym': False}
    (made / 'quantize_config.json').write_text(json.dumps(options))
    renamed('model.safetensors', 'gptq_model-4bit-32g.safetensors')(made)
    return [str(made)]


def two_files(tmp_path: Path) -> Sequence[str]:
    made = small.save(tmp_path / 'theirs', small.tensors(torch.float16), shards=2)
    first, second = (made / f'model-0000{i}-of-00002.safetensors' for i in (1, 2))
    name, tensor = next(iter(load_file(first).items()))
    save_file({**load_file(second), name: tensor + 1}, second)
    return [str(made)]


def configured(change: Callable[[dict[str, torch.Tensor]], object] = lambda made: None,
               files: Mapping[str, str] | None = None, **options: Any) -> Case:
    """Return a directory with other options of config.json, other tensors and more files."""
    def case(tmp_path: Path) -> Sequence[str]:
        made = small.tensors(torch.float16)
        change(made)
        directory = small.save(tmp_path / 'theirs', made, options)
        for name, text in (files or {}).items():
            (directory / name).write_text(text)
        return [str(directory)]

    return case


def copied_head(made: dict[str, torch.Tensor]) -> None:
    made['lm_head.weight'] = made['model.embed_tokens.weight'].clone()


def no_head(made: dict[str, torch.Tensor]) -> None:
    del made['lm_head.weight']


def phi3(made: dict[str, torch.Tensor]) -> None:
    """Put q, k and v, gate and up into one matrix each."""
    for i in range(2):
        for whole, parts in (('self_attn.qkv', 'qkv'), ('mlp.gate_up', ('gate', 'up'))):
            room, _, _ = whole.partition('.')
            names = [f'model.layers.{i}.{room}.{part}_proj.weight' for part in parts]
            made[f'model.layers.{i}.{whole}_proj.weight'] = torch.cat([made.pop(name) for name in names])


def biases(*names: str, value: float = 1.0) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(made: dict[str, torch.Tensor]) -> None:
        made |= {f'model.layers.{i}.{name}.bias': torch.full(
            made[f'model.layers.{i}.{name}.weight'].shape[:1], value, dtype=torch.float16)
            for i in range(2) for name in names}

    return change


def head_bias(made: dict[str, torch.Tensor]) -> None:
    made['lm_head.bias'] = torch.ones(270, dtype=torch.float16)


def fewer_rows(made: dict[str, torch.Tensor]) -> None:
    made |= {name: made[name][:250].contiguous() for name in ('model.embed_tokens.weight', 'lm_head.weight')}


def pointer_for_gguf(tmp_path: Path) -> Sequence[str]:
    (tmp_path / 'model.gguf').write_text(POINTER)
    return [str(tmp_path / 'model.gguf')]


POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 9085657\n'
O_PROJ = 'self_attn.o_proj'
LINEAR = {'rope_type': 'linear', 'factor': 2.0}
CASES: dict[str, list[Case]] = {
    '`model.safetensors` in F16 or BF16': [directory(), directory(torch.bfloat16)],
    'F32 or F64 whose values fit into 16 bits': [
        typed(torch.float16, torch.float32), typed(torch.bfloat16, torch.float64)],
    'other matrices of F32': [directory(torch.float32)],
    'F8_E4M3, I8 and other types without a `quantization_config`': [
        typed(torch.float16, torch.float8_e4m3fn), typed(torch.float16, torch.int8)],
    'shards with `model.safetensors.index.json`': [directory(shards=3)],
    '`model.safetensors` beside an index, `pytorch_model.bin` or `original/` (`model.safetensors` is used)': [
        directory(change=beside('model.safetensors.index.json')), directory(change=beside('pytorch_model.bin')),
        directory(change=beside('original/consolidated.00.pth'))],
    '`gptq_model-4bit-128g.safetensors` and other names that GPTQ tools use': [gptq],
    'one file with another name, or shards without an index': [
        directory(change=renamed('model.safetensors', 'model.fp16.safetensors')),
        directory(shards=3, change=without('model.safetensors.index.json'))],
    'several files with other names': [directory(change=lambda made: [
        shutil.copy(made / 'model.safetensors', made / name) for name in ('a.safetensors', 'b.safetensors')]
        and without('model.safetensors')(made))],
    'a missing shard': [directory(shards=3, change=without('model-00002-of-00003.safetensors'))],
    'a Git LFS pointer instead of a file': [
        *(configured(files={name: POINTER}) for name in ('tokenizer.json', 'config.json', 'model.safetensors')),
        directory(shards=3, change=lambda made: (made / 'model-00002-of-00003.safetensors').write_text(POINTER)),
        pointer_for_gguf],
    'a broken link': [directory(change=link('model.safetensors', '../blobs/0123')),
                      directory(change=link('tokenizer_config.json', '../blobs/0123'))],
    'an index that names a file outside the directory': [directory(change=outside)],
    'two files with different values of the same tensor': [two_files],
    "the directory above or below the model's (`original/`), or that of a hub cache": [
        lambda tmp_path: [str(Path(directory()(tmp_path)[0]).parent)],
        lambda tmp_path: [directory(change=beside('original/params.json'))(tmp_path)[0] + '/original']],
    'one file of a model directory (`model.safetensors`, `config.json`)': [
        lambda tmp_path: [directory()(tmp_path)[0] + '/model.safetensors'],
        lambda tmp_path: [directory()(tmp_path)[0] + '/config.json']],
    'a directory that is already imported': [directory(change=beside('tinychat.json'))],
    'an adapter (`adapter_config.json`)': [directory(change=beside('adapter_config.json'))],
    'pipes, devices and endless files': [
        directory(change=link(name, '/dev/zero'))
        for name in ('config.json', 'tokenizer.json', 'chat_template.jinja', 'model.safetensors')],
    'weights only in `consolidated.00.pth`, `flax_model.msgpack` or `tf_model.h5`': [
        directory(change=renamed('model.safetensors', name))
        for name in ('consolidated.00.pth', 'flax_model.msgpack', 'tf_model.h5')],
    'weights only in `pytorch_model.bin`': [directory(change=renamed('model.safetensors', 'pytorch_model.bin'))],
    '`tie_word_embeddings: true`, but the model has its own head': [configured(tie_word_embeddings=True)],
    'no head, and `tie_word_embeddings` is not true': [
        configured(no_head),
        configured(no_head, tie_word_embeddings=None)],
    'biases that config.json does not mention': [
        configured(biases(O_PROJ)), configured(head_bias),
        configured(biases('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'))],
    '`rope_scaling` beside other `rope_parameters`': [
        configured(rope_scaling=LINEAR, rope_parameters={'rope_type': 'default', 'rope_theta': 1e4}),
        configured(rope_scaling=LINEAR, rope_parameters={'rope_type': 'default', 'rope_theta': 5e5}, rope_theta=5e5)],
    '`rope_scaling` beside `rope_parameters` with another base or rotated share': [
        configured(rope_scaling=LINEAR, rope_parameters={'rope_type': 'default', 'rope_theta': 5e5})],
    '`dynamic` RoPE scaling': [configured(rope_scaling={'type': 'dynamic', 'factor': 2.0})],
    '`partial_rotary_factor` for a model other than Phi-3 (transformers ignores it)': [
        configured(partial_rotary_factor=0.5),
        configured(rope_scaling={'rope_type': 'default', 'partial_rotary_factor': 0.5}),
        configured(rope_parameters={'rope_type': 'default', 'rope_theta': 1e4, 'partial_rotary_factor': 0.5})],
    'the same with RoPE scaling, which transformers cannot run': [
        configured(partial_rotary_factor=0.5, rope_scaling=LINEAR)],
    'Phi-3 with a sliding window and `layer_types` with other layers': [
        configured(phi3, model_type='phi3', sliding_window=64, layer_types=['full_attention', 'sliding_attention'])],
    'Gemma 3: `attn_logit_softcapping`, the same `rope_parameters` for all layers, a `rope_scaling` with `type` '
    'instead of `rope_type`': [
        configured(model_type='gemma3_text', attn_logit_softcapping=50.0),
        configured(model_type='gemma3_text', rope_parameters={'rope_type': 'default', 'rope_theta': 1e6}),
        configured(model_type='gemma3_text', rope_scaling={'type': 'linear', 'factor': 2.0})],
    'an embedding model or classifier': [
        configured(architectures=['LlamaModel']), configured(files={'modules.json': '[]'}),
        configured(architectures=['LlamaForSequenceClassification'])],
    '`is_causal: false`': [configured(is_causal=False)],
    '`layer_types` or `sliding_window` without effect, a `bos_token_id` or `eos_token_id` of -1': [
        configured(layer_types=['full_attention'] * 2), configured(sliding_window=128), configured(bos_token_id=-1),
        configured(eos_token_id=[2, -1]), configured(files={'generation_config.json': '{"eos_token_id": [2, -1]}'}),
        configured(biases(O_PROJ, value=0.0)), configured(copied_head, tie_word_embeddings=True)],
    'an `eos_token_id` or `bos_token_id` that is not a number': [
        configured(eos_token_id='</s>'), configured(eos_token_id=[[2]]), configured(eos_token_id=True),
        configured(bos_token_id=[1]), configured(files={'generation_config.json': '{"eos_token_id": "</s>"}'})],
    'more tokens than the embedding has rows': [configured(fewer_rows, vocab_size=250)],
}
