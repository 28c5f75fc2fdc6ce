# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: directories that AutoAWQ, GPTQ, AutoRound and compressed-tensors have quantized."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
import json
from pathlib import Path
from typing import Any

import numpy as np
import packed_formats as packed
import small_huggingface as small
import torch

Case = Callable[[Path], Sequence[str]]

AWQ = {'quant_method': 'awq', 'bits': 4, 'group_size': 32, 'version': 'gemm', 'zero_point': True}
GPTQ = {'quant_method': 'gptq', 'bits': 4, 'group_size': 32, 'desc_act': False, 'sym': True}
ASYMMETRIC = {**GPTQ, 'sym': False}
AUTO_ROUND = {'quant_method': 'auto-round', 'bits': 4, 'group_size': 32, 'sym': True, 'data_type': 'int',
              'packing_format': 'auto_round:auto_gptq'}
FOUR: dict[str, Any] = {'group_size': 32, 'symmetric': True}
EIGHT: dict[str, Any] = {**FOUR, 'bits': 8}
ROW: dict[str, Any] = {**EIGHT, 'group_size': -1}
WIDER = {name: tuple({96: 192}.get(n, n) for n in shape) for name, shape in small.SHAPES.items()}


def compressed(format_: str = 'pack-quantized', activations: Any = None, **weights: Any) -> dict[str, Any]:
    """Return a configuration of compressed-tensors with one scheme."""
    return {'quant_method': 'compressed-tensors', 'format': format_, 'ignore': ['lm_head'], 'config_groups': {
        'group_0': {'targets': ['Linear'], 'input_activations': activations,
                    'weights': {'num_bits': 4, 'type': 'int', 'strategy': 'group', 'group_size': 32, **weights}}}}


def channels(**options: Any) -> dict[str, Any]:
    """Return a configuration of W8A8."""
    return compressed('int-quantized', **{'num_bits': 8, 'strategy': 'channel', 'group_size': None, **options})


def directory(config: dict[str, Any], pack: Any, shapes: Mapping[str, tuple[int, ...]] | None = None,
              change: Callable[[dict[str, torch.Tensor]], None] = lambda made: None, **grid: Any) -> Case:
    """Return a directory with a quantization_config whose matrices are packed; `grid`: options of `packed.grid`."""
    def case(tmp_path: Path) -> Sequence[str]:
        made, _ = packed.model(pack, shapes=None if shapes is None else dict(shapes), **grid)
        change(made)
        inner = {} if shapes is None else {'intermediate_size': 192}
        return [str(small.save(tmp_path / 'theirs', made, {**inner, 'quantization_config': config}))]

    return case


def rounded(pack: Any, mean: float = 0.0) -> Any:
    """Pack normal weights, in steps from the least to the largest of each group (zero points included)."""
    def packed_so(g: packed.Grid) -> Any:
        weights = np.random.default_rng(g.q.size).normal(mean, 1.0, g.q.shape)
        for group in range(g.zeros.shape[1]):
            part = weights[:, g.group_of == group]
            low, high = np.minimum(part.min(axis=1), 0), np.maximum(part.max(axis=1), 0)
            scale = (high - low) / 15
            g.scales[:, group], g.zeros[:, group] = scale, np.rint(-low / scale)
            g.q[:, g.group_of == group] = np.clip(
                np.rint(part / scale[:, None]) + g.zeros[:, group, None], 0, 15).astype(int)
        return pack(g)

    return packed_so


def zeros_of(value: int, pack: Any) -> Any:
    def packed_so(g: packed.Grid) -> Any:
        g.zeros[:] = value
        return pack(g)

    return packed_so


def per_tensor(g: packed.Grid) -> Any:
    return {**packed.compressed_int(g), 'weight_scale': g.scales[0]}


def without(ending: str) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(made: dict[str, torch.Tensor]) -> None:
        for name in [name for name in made if name.endswith(ending)]:
            del made[name]

    return change


def finer(made: dict[str, torch.Tensor]) -> None:
    for name in [name for name in made if name.endswith('.scales')]:
        made[name] = made[name].float() * (1 + 2 ** -20)


def wrong_index(made: dict[str, torch.Tensor]) -> None:
    made['model.layers.0.mlp.down_proj.g_idx'][:] = 0


def eight_bits_in(tensors: str, pack: Any) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(made: dict[str, torch.Tensor]) -> None:
        wide, _ = packed.model(pack, **EIGHT)
        made |= {name: tensor for name, tensor in wide.items() if tensors in name}

    return change


def also(name: str, content: Mapping[str, Any], case: Case) -> Case:
    """Return a directory with one more file."""
    def more(tmp_path: Path) -> Sequence[str]:
        arguments = case(tmp_path)
        (Path(arguments[0]) / name).write_text(json.dumps(content))
        return arguments

    return more


ordered = lambda _: 1  # noqa: E731
v2 = partial(packed.gptq, less_one=False)
bare = partial(packed.gptq, index=False)
packed8 = partial(packed.compressed_packed, bits=8, zero_points=False)

CASES: dict[str, list[Case]] = {
    'AutoAWQ, 4 bits, gemm': [directory(AWQ, packed.awq_gemm, group_size=32)],
    'AutoAWQ, 4 bits, gemv': [directory({**AWQ, 'version': 'gemv'}, packed.awq_gemv, group_size=32)],
    'AutoAWQ, `zero_point: false` with zero points other than 8': [
        directory({**AWQ, 'zero_point': False}, packed.awq_gemm, group_size=32)],
    'AutoAWQ, `version: marlin`': [directory({**AWQ, 'version': 'marlin'}, packed.awq_gemm, group_size=32)],
    'GPTQ, 4 and 8 bits, symmetric; `gptq` and `gptq_v2`': [
        directory(GPTQ, packed.gptq, **FOUR), directory({**GPTQ, 'checkpoint_format': 'gptq_v2'}, v2, **FOUR),
        directory({**GPTQ, 'bits': 8}, partial(packed.gptq, bits=8), **EIGHT)],
    'GPTQ, 4 bits, asymmetric': [
        directory(ASYMMETRIC, packed.gptq, group_size=32), directory(ASYMMETRIC, rounded(packed.gptq), group_size=32),
        directory({**ASYMMETRIC, 'checkpoint_format': 'gptq_v2'}, rounded(v2), group_size=32),
        directory(ASYMMETRIC, rounded(packed.gptq, mean=0.1), group_size=32)],
    'GPTQ, asymmetric, with the zero points of the other format version': [
        directory(ASYMMETRIC, rounded(v2), group_size=32),
        directory(ASYMMETRIC, rounded(v2, mean=-0.05), group_size=32),
        directory({**ASYMMETRIC, 'checkpoint_format': 'gptq_v2'}, rounded(packed.gptq), group_size=32),
        directory({**GPTQ, 'desc_act': True, 'sym': False}, rounded(v2), order=ordered, group_size=32)],
    'GPTQ, `desc_act`: columns ordered by activation': [
        directory({**GPTQ, 'desc_act': True}, packed.gptq, order=ordered, **FOUR),
        directory({**GPTQ, 'desc_act': True}, packed.gptq, order=lambda name: sum(map(ord, name)), **FOUR)],
    'GPTQ, `desc_act: false`, but the columns are ordered': [directory(GPTQ, packed.gptq, order=ordered, **FOUR)],
    'GPTQ, symmetric, with the zero points of the other format version': [
        directory({**GPTQ, 'checkpoint_format': 'gptq'}, v2, **FOUR),
        directory({**GPTQ, 'checkpoint_format': 'gptq_v2'}, packed.gptq, **FOUR)],
    'GPTQ, `sym: true` with other zero points': [directory(GPTQ, packed.gptq, group_size=32)],
    'GPTQ, a `g_idx` that contradicts the group size': [directory(GPTQ, packed.gptq, change=wrong_index, **FOUR)],
    'GPTQ, `desc_act` without `g_idx`': [directory({**GPTQ, 'desc_act': True}, bare, **FOUR)],
    'GPTQ for Marlin, BitBLAS and others': [directory({**GPTQ, 'checkpoint_format': name}, packed.gptq, **FOUR)
                                            for name in ('marlin', 'bitblas')],
    'GPTQ or AutoRound, 2, 3, 5 or 6 bits': [directory({**config, 'bits': bits}, packed.gptq, **FOUR)
                                             for config, bits in ((GPTQ, 2), (GPTQ, 3), (AUTO_ROUND, 5),
                                                                  (AUTO_ROUND, 6))],
    'GPTQ, `checkpoint_format` only in `quantize_config.json`': [
        also('quantize_config.json', {**ASYMMETRIC, 'checkpoint_format': 'gptq_v2'},
             directory(ASYMMETRIC, v2, group_size=32))],
    'GPTQ, different `checkpoint_format` in `quantize_config.json` and config.json': [
        also('quantize_config.json', {**ASYMMETRIC, 'checkpoint_format': 'gptq_v2'},
             directory({**ASYMMETRIC, 'checkpoint_format': 'gptq'}, packed.gptq, group_size=32))],
    'packed matrices without a configuration': [
        directory({}, packed.gptq, group_size=32), directory({}, packed.awq_gemm, group_size=32),
        directory({}, packed.compressed_packed, group_size=32)],
    'AutoRound, `auto_round`, `auto_round:auto_gptq`, `auto_round:auto_awq`': [
        directory({**AUTO_ROUND, 'sym': False, 'packing_format': 'auto_round'}, partial(v2, index=False),
                  group_size=32),
        directory(AUTO_ROUND, bare, **FOUR),
        directory({**AUTO_ROUND, 'packing_format': 'auto_round:auto_awq'}, packed.awq_gemm, **FOUR)],
    'AutoRound, other packings, types or activations': [
        directory({**AUTO_ROUND, **change}, bare, **FOUR) for change in (
            {'packing_format': 'auto_round:fp8_static'}, {'data_type': 'mx_fp'}, {'act_bits': 8})],
    'compressed-tensors, `pack-quantized`, 4 and 8 bits': [
        directory(compressed(), packed.compressed_packed, group_size=32),
        directory(compressed(num_bits=8), packed8, **EIGHT)],
    'compressed-tensors, `int-quantized`, one scale per row or per matrix': [
        directory(channels(), packed.compressed_int, **ROW), directory(channels(strategy='tensor'), per_tensor, **ROW)],
    'compressed-tensors, `actorder: group`': [directory(
        compressed(actorder='group'), partial(packed.compressed_packed, index=True), order=ordered, group_size=32)],
    'compressed-tensors, static activation scales': [directory(
        channels(activations={'num_bits': 8, 'dynamic': False}), packed.compressed_int, **ROW)],
    'compressed-tensors, float formats': [directory(compressed(name), packed.compressed_packed, group_size=32)
                                          for name in ('float-quantized', 'nvfp4-pack-quantized')],
    'other bits or groups for some layers (`dynamic`, `extra_config`, `config_groups`)': [
        directory({**GPTQ, 'dynamic': {'+:.*down.*': {'bits': 8}}}, packed.gptq,
                  change=eight_bits_in('down_proj', partial(packed.gptq, bits=8)), **FOUR),
        directory({**AUTO_ROUND, 'extra_config': {'.*down.*': {'bits': 8}}}, bare,
                  change=eight_bits_in('down_proj', partial(bare, bits=8)), **FOUR)],
    'layers that are not quantized': [
        directory({**AWQ, 'modules_to_not_convert': ['down_proj']}, packed.awq_gemm, plain=('down_proj',),
                  group_size=32),
        directory({**GPTQ, 'dynamic': {'-:.*down.*': {}}}, packed.gptq, plain=('down_proj',), **FOUR)],
    'a shorter last group (192 columns in groups of 128)': [
        directory({**AWQ, 'group_size': 128}, packed.awq_gemm, WIDER, group_size=128),
        directory({**ASYMMETRIC, 'group_size': 128}, packed.gptq, WIDER, group_size=128),
        directory(compressed(group_size=128), packed.compressed_packed, WIDER, group_size=128)],
    'a `group_size` that does not match the tensors': [
        directory(AWQ, packed.awq_gemm, WIDER, group_size=128),
        directory(ASYMMETRIC, packed.gptq, WIDER, group_size=128),
        directory(compressed(), packed.compressed_packed, WIDER, group_size=128)],
    'groups of fewer than 32 columns': [directory({**AWQ, 'group_size': 16}, packed.awq_gemm, group_size=16)],
    'scales in bf16 or fp32 that fp16 cannot hold exactly': [directory(GPTQ, packed.gptq, change=finer, **FOUR)],
    '8 bits with zero points, where q − z needs more than 8 bits': [directory(
        {**ASYMMETRIC, 'bits': 8}, partial(packed.gptq, bits=8), group_size=32, bits=8)],
    'a missing part, or a part with the wrong type or shape': [
        directory(AWQ, packed.awq_gemm, change=without('qzeros'), group_size=32),
        directory(GPTQ, lambda g: {**packed.gptq(g), 'qzeros': np.zeros((1, 8), np.int32)}, **FOUR)],
    'an option with the wrong type': [directory({**GPTQ, **change}, packed.gptq, **FOUR) for change in (
        {'group_size': '32'}, {'bits': 4.0}, {'dynamic': 7}, {'sym': 1})],
    'bitsandbytes, FP8 and other methods': [directory({'quant_method': name}, packed.gptq, **FOUR)
                                            for name in ('bitsandbytes', 'fp8')],
}
