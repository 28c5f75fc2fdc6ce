# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The plan, its refusals and its advice, by arithmetic on the shapes of real models."""
from __future__ import annotations

import pytest
import small_checkpoint as small

from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.errors import DoesNotFitError, InvalidParameterError
from tinychat_core.loading.memory_plan import fitting_plan, largest_context, plan, position_bytes, Request

GIB = 1 << 30


def llama_2(layers: int, hidden: int, intermediate: int, kv_heads: int, format_: str = 'w4z',
            group_size: int = 128) -> Manifest:
    """Return the manifest of a LLaMA-2; the embedding and the head are W8."""
    model = small.MODEL.replace(
        vocab_size=32000, hidden_size=hidden, intermediate_size=intermediate, layers=layers, heads=hidden // 128,
        kv_heads=kv_heads, head_dim=128, context_length=4096)
    shapes = {'attn.qkv': (hidden + 2 * 128 * kv_heads, hidden), 'attn.o': (hidden, hidden),
              'mlp.gate_up': (2 * intermediate, hidden), 'mlp.down': (hidden, intermediate)}
    layout = 'r16k1' if format_ == 'f16' else 'r16k4'
    tensors = {f'layers.{i}.{name}': TensorEntry(1 + i, format_, rows, cols, group_size, layout)
               for i in range(layers) for name, (rows, cols) in shapes.items()}
    tensors |= {name: TensorEntry(0, 'w8g', 32000, hidden, 32, 'r16k4') for name in ('embedding', 'head')}
    return Manifest('llama', model, 'W16' if format_ == 'f16' else 'W4', group_size, tensors, [])


SEVEN = llama_2(32, 4096, 11008, 32)
SEVENTY = llama_2(80, 8192, 28672, 8)


def test_llama_2_70b_fits_a_board_of_64_gb() -> None:
    needs = fitting_plan(SEVENTY, 60 * GIB)
    numbers = 80 * (10240 * 8192 + 8192 * 8192 + 57344 * 8192 + 8192 * 28672)
    ends = 2 * 32000 * 8192
    assert needs.weights_bytes == numbers // 2 + numbers // 128 * 5 // 2 + ends + ends // 32 * 2
    assert (needs.max_seq_len, needs.kv_cache_bytes) == (4096, 4096 * 2 * 80 * 8 * 128 * 2)
    assert needs.buffers_bytes == 4 * (256 * (3 * 8192 + (2 * 64 + 2 * 8) * 128 + 3 * 28672) + 32000)
    assert 34 * GIB < needs.total_bytes < 36 * GIB


def test_cuda_keeps_the_activations_of_a_prefill_and_32_decoded_tokens() -> None:
    needs = plan(SEVENTY, request=Request(backend='cuda'))
    row = 4 * (2 * 8192 + (64 + 2 * 8) * 128) + 2 * (8192 + 64 * 128 + 28672)
    assert needs.buffers_bytes == (512 + 32) * row + 4 * 16 * 32000


def test_it_does_not_fit_a_board_of_32_gb() -> None:
    with pytest.raises(DoesNotFitError, match='may be used; use a smaller model') as caught:
        fitting_plan(SEVENTY, 32 * GIB)
    assert '\n' not in str(caught.value)


def test_llama_2_7b_on_a_board_of_8_gb() -> None:
    assert 3.9e9 > plan(SEVEN).weights_bytes > 3.5e9
    assert fitting_plan(SEVEN, 7 * GIB).max_seq_len == 4096
    # With a desktop beside it: half a MiB a position.
    assert fitting_plan(SEVEN, 5 * GIB).max_seq_len == largest_context(SEVEN, 5 * GIB) == 3170


def test_the_largest_context_fits_and_the_next_one_does_not() -> None:
    memory = 4 * GIB
    largest = largest_context(SEVEN, memory)
    assert plan(SEVEN, largest).total_bytes <= memory < plan(SEVEN, largest + 1).total_bytes


@pytest.mark.parametrize(('request_', 'memory', 'remedies'), [
    (Request(), 5 * GIB, 'it would fit with max_seq_len 3170 or kv_cache int8'),
    (Request(kv_cache='int8'), 4 * GIB, 'it would fit with max_seq_len 2161'),
    (Request(caches=2), 7 * GIB,
     'it would fit with max_seq_len 3633 or one KV cache (kv_caches 1, parallel 1) or kv_cache int8'),
    (Request('W4A16'), 6 * GIB, 'it would fit with max_seq_len 2609 or kv_cache int8 or precision W4'),
])
def test_the_advice_names_what_is_enough(request_: Request, memory: int, remedies: str) -> None:
    with pytest.raises(DoesNotFitError) as caught:
        fitting_plan(SEVEN, memory, 4096, request_)
    assert str(caught.value).endswith(remedies)


@pytest.mark.parametrize('larger', [llama_2(32, 4096, 11008, 32, 'f16', 0), llama_2(32, 4096, 11008, 32, 'w4m', 32)])
def test_fewer_bits_a_weight_are_advised(larger: Manifest) -> None:
    memory = plan(SEVEN).total_bytes
    with pytest.raises(DoesNotFitError, match=r'weights of 4 bits in groups of 128$'):
        fitting_plan(larger, memory, 4096)


def test_a_context_that_serves_nobody_is_refused() -> None:
    memory = plan(SEVEN, 127).total_bytes
    with pytest.raises(DoesNotFitError, match='for a context of 128'):
        fitting_plan(SEVEN, memory)
    assert fitting_plan(SEVEN, memory, 100).max_seq_len == 100


@pytest.mark.parametrize('dim', [64, 80, 96, 128, 256])
def test_a_cache_of_bytes_takes_at_most_0_54_of_fp16(dim: int) -> None:
    model = SEVEN.model.replace(head_dim=dim)
    assert position_bytes(model, 'int8') <= 0.54 * position_bytes(model, 'fp16')


def test_what_there_is_not() -> None:
    with pytest.raises(InvalidParameterError, match="unknown kv_cache 'int4'; use auto or int8"):
        plan(SEVEN, None, Request(kv_cache='int4'))


def test_the_line_for_the_log_counts_the_caches() -> None:
    assert ', KV cache 64 MiB for 128 positions' in str(plan(SEVEN, 128))
    assert ', 3 KV caches 192 MiB for 128 positions' in str(plan(SEVEN, 128, Request(caches=3)))
