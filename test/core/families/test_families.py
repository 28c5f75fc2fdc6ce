# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""ModelConfig from config.json: supported models are read, and whatever is not supported is named."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinychat_core.checkpoint.model_config import inverse_frequencies, ModelConfig, Rope
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families import family_of, model_config
from tinychat_core.families.hf_config import HfConfig

SMOLLM2 = {
    'architectures': ['LlamaForCausalLM'], 'attention_bias': False, 'attention_dropout': 0.0, 'bos_token_id': 1,
    'eos_token_id': 2, 'hidden_act': 'silu', 'hidden_size': 576, 'initializer_range': 0.041666666666666664,
    'intermediate_size': 1536, 'is_llama_config': True, 'max_position_embeddings': 8192, 'mlp_bias': False,
    'model_type': 'llama', 'num_attention_heads': 9, 'num_hidden_layers': 30, 'num_key_value_heads': 3,
    'pad_token_id': 2, 'pretraining_tp': 1, 'rms_norm_eps': 1e-05, 'rope_interleaved': False, 'rope_scaling': None,
    'rope_theta': 100000, 'tie_word_embeddings': True, 'torch_dtype': 'bfloat16',
    'transformers_version': '4.42.3', 'use_cache': True, 'vocab_size': 49152,
}


def changed(**changes: Any) -> dict[str, Any]:
    """Return SmolLM2's configuration with other options; None leaves one out."""
    return {name: value for name, value in {**SMOLLM2, **changes}.items() if value is not None}


def test_smollm2() -> None:
    model = model_config(SMOLLM2)
    assert family_of(SMOLLM2).name == 'llama'
    assert model.to_json() == {
        'vocab_size': 49152, 'hidden_size': 576, 'intermediate_size': 1536, 'layers': 30, 'heads': 9, 'kv_heads': 3,
        'head_dim': 64, 'context_length': 8192, 'norm': 'rms', 'norm_eps': 1e-05, 'activation': 'silu',
        'gated': True, 'rope': {'theta': 100000.0, 'dim': 64}, 'tied_head': True, 'bos_token_id': 1,
        'eos_token_ids': [2]}


def test_rope_as_transformers_5_writes_it() -> None:
    config = changed(rope_theta=None, rope_parameters={'rope_theta': 500000.0, 'rope_type': 'default'})
    assert model_config(config).rope == Rope(theta=500000.0, dim=64)


def test_what_is_absent_has_the_value_that_transformers_gives_it() -> None:
    config = changed(num_key_value_heads=None, rope_theta=None, tie_word_embeddings=None)
    model = model_config(config)
    assert (model.kv_heads, model.rope.theta, model.tied_head) == (9, 10000.0, False)


@pytest.mark.parametrize(('changes', 'reason'), [
    ({'model_type': 'lama'}, "the model type 'lama' is not supported; the nearest supported ones are llama"),
    ({'model_type': None}, "the model type 'None' is not supported"),
    ({'hidden_act': 'xielu'}, "hidden_act = 'xielu' is not supported for the model type 'llama'"),
    ({'rope_scaling': {'type': 'warp', 'factor': 2.0}}, "the rope type 'warp' is not supported"),
    ({'rope_parameters': {'rope_type': 'warp', 'rope_theta': 1e4}}, "the rope type 'warp' is not supported"),
    ({'num_local_experts': 8}, 'num_local_experts = 8 is not supported'),
    ({'moe_intermediate_size': 64}, 'moe_intermediate_size = 64 is not supported'),
    ({'sliding_window': 4096}, 'sliding_window = 4096 is not supported'),
    ({'quantization_config': {'quant_method': 'awq'}}, 'quantization_config = '),
    ({'partial_rotary_factor': 'half'}, "partial_rotary_factor = 'half' is not supported"),
    ({'rope_scaling': {'type': 'linear'}}, 'factor = None of the rope is not supported'),
    ({'rope_scaling': 'linear'}, "rope_scaling = 'linear' is not supported"),
    ({'rope_scaling': {'rope_type': 'linear', 'factor': '4'}}, "factor = '4' of the rope is not supported"),
    ({'rope_scaling': {'rope_type': 'default', 'mrope_section': [8, 12, 12]}}, 'mrope_section = [8, 12, 12] of the'),
    ({'rope_scaling': {'rope_type': 'dynamic', 'factor': 4.0, 'alpha': 1e3}}, 'alpha = 1000.0 of the rope is not'),
    ({'rope_scaling': {'rope_type': 'longrope', 'short_factor': [1.0] * 32}}, 'long_factor of the rope does not have'),
    ({'rope_parameters': {'full_attention': {'rope_type': 'default'}}}, "full_attention = {'rope_type': 'default'}"),
    ({'partial_rotary_factor': 1.5}, 'partial_rotary_factor = 1.5 of the rope is not supported'),
    ({'partial_rotary_factor': 0.8}, 'partial_rotary_factor = 0.8 of the rope is not supported'),
    ({'logit_scale': 0.5}, 'logit_scale = 0.5 is not supported'),
    ({'rope_interleaved': True}, 'rope_interleaved = True is not supported'),
    ({'no_rope_layers': [1, 0] * 15}, 'no_rope_layers = [1, 0, '),
    ({'attention_chunk_size': 8192}, 'attention_chunk_size = 8192 is not supported'),
    ({'lm_head_bias': True}, 'lm_head_bias = True is not supported'),
    ({'vision_config': {'depth': 4}}, "vision_config = {'depth': 4} is not supported"),
    ({'n_routed_experts': 64}, 'n_routed_experts = 64 is not supported'),
    ({'kv_lora_rank': 512}, 'kv_lora_rank = 512 is not supported'),
    ({'mamba_d_state': 16}, 'mamba_d_state = 16 is not supported'),
    ({'hidden_size': 2592, 'head_dim': 288}, 'head_dim = 288 is not supported: above 256'),
    ({'hidden_size': None}, 'config.json lacks hidden_size'),
    ({'num_attention_heads': '9'}, "num_attention_heads = '9' is not supported"),
    ({'num_hidden_layers': 0}, 'num_hidden_layers = 0 is not supported'),
    ({'rms_norm_eps': 'small'}, "rms_norm_eps = 'small' is not supported"),
    ({'head_dim': 60}, 'head_dim = 60 is not supported: not a multiple of 16'),
    ({'num_key_value_heads': 4}, '9 heads are not a multiple of 4 KV heads'),
])
def test_what_is_not_served_is_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        model_config(changed(**changes))
    assert reason in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('changes', [
    {'use_sliding_window': False}, {'logit_scale': 1.0}, {'num_experts': 0}, {'no_rope_layers': []},
    {'made_up_by_someone': 'yes'}, {'head_dim': 64},
    {'pretraining_tp': 2}])  # how the sums were shared among machines
def test_options_that_change_nothing_do_not_matter(changes: dict[str, Any]) -> None:
    assert model_config(changed(**changes)) == model_config(SMOLLM2)


MPT = {'model_type': 'mpt', 'vocab_size': 64, 'd_model': 96, 'n_heads': 3, 'n_layers': 1}
FALCON = {'model_type': 'falcon', 'vocab_size': 64, 'hidden_size': 96, 'num_hidden_layers': 1,
          'num_attention_heads': 3}
OPT = {'model_type': 'opt', 'vocab_size': 64, 'hidden_size': 96, 'ffn_dim': 96, 'num_hidden_layers': 1,
       'num_attention_heads': 3}
GEMMA = {**SMOLLM2, 'model_type': 'gemma3_text', 'hidden_act': None, 'head_dim': 64}


@pytest.mark.parametrize(('config', 'changes', 'reason'), [
    (MPT, {'attn_config': {'alibi': False}}, 'alibi = False is not supported'),
    (MPT, {'attn_config': {'clip_qkv': 6}}, 'clip_qkv = 6 is not supported'),
    (MPT, {'attn_config': {'qk_ln': True}}, 'qk_ln = True is not supported'),
    (MPT, {'attn_config': {'attn_type': 'multiquery_attention'}}, "attn_type = 'multiquery_attention'"),
    (MPT, {'attn_config': 'alibi'}, "attn_config = 'alibi' is not supported"),
    (MPT, {'no_bias': False}, 'no_bias = False is not supported'),
    (MPT, {'logit_scale': 'inv_sqrt_d_model'}, "logit_scale = 'inv_sqrt_d_model' is not supported"),
    (FALCON, {'alibi': True}, 'alibi = True is not supported'),
    (FALCON, {'multi_query': False}, 'multi_query = False is not supported'),
    (FALCON, {'new_decoder_architecture': True, 'parallel_attn': False}, 'parallel_attn = False is not supported'),
    (FALCON, {'activation': 'mish'}, "activation = 'mish' is not supported"),
    (OPT, {'layer_norm_elementwise_affine': False}, 'layer_norm_elementwise_affine = False is not supported'),
    (OPT, {'word_embed_proj_dim': 40}, 'embedding_size = 40 is not supported: not a multiple of 16'),
    (OPT, {'ffn_dim': 100}, 'intermediate_size = 100 is not supported: not a multiple of 16'),
    (GEMMA, {'use_bidirectional_attention': True}, 'use_bidirectional_attention = True is not supported'),
    (GEMMA, {'layer_types': ['chunked_attention'] * 30}, "layer_types = ['chunked_attention'"),
    (GEMMA, {'layer_types': ['full_attention']}, "layer_types = ['full_attention'] is not supported"),
    (GEMMA, {'rope_parameters': {'sliding_attention': {'rope_type': 'yarn'}}}, 'rope_parameters = '),
    ({**SMOLLM2, 'model_type': 'qwen3_moe'}, {}, "'qwen3_moe' is not supported; the nearest supported ones are qwen3"),
    ({**SMOLLM2, 'model_type': 'gemma3n'}, {}, "'gemma3n' is not supported; the nearest supported ones are gemma3"),
    (MPT, {'attn_config': {'rope': True}}, 'rope = True is not supported'),
    (MPT, {'attn_config': {'sliding_window_size': 512}}, 'sliding_window_size = 512 is not supported'),
    (MPT, {'attn_config': {'num_experts': 4}}, 'num_experts = 4 is not supported'),
    (MPT, {'norm_type': 'rmsnorm'}, "norm_type = 'rmsnorm' is not supported"),
    (FALCON, {'apply_residual_connection_post_layernorm': True}, 'apply_residual_connection_post_layernorm = True'),
    (GEMMA, {'rope_scaling': {'rope_type': 'yarn', 'factor': 4.0}}, 'rope_scaling = '),
    # transformers reads none of these, and other tools do.
    (GEMMA, {'rope_scaling': {'type': 'linear', 'factor': 4.0}}, 'rope_scaling = '),
    (GEMMA, {'rope_parameters': {'rope_type': 'linear', 'factor': 4.0}}, 'rope_parameters = '),
    (GEMMA, {'attn_logit_softcapping': 50.0}, 'attn_logit_softcapping = 50.0 is not supported'),
    (MPT, {'attn_config': {'softmax_scale': 0.0}}, 'softmax_scale = 0.0 is not supported'),
    (MPT, {'attn_config': {'alibi_bias_max': 4}}, 'alibi_bias_max = 4 is not supported'),
    (SMOLLM2, {'rope_scaling': {'rope_type': 'yarn', 'factor': 4.0, 'short_factor': [1.0] * 32}},
     "short_factor and long_factor of the rope are not supported for the type 'yarn'"),
])
def test_what_the_other_families_do_not_serve_is_named(config: dict[str, Any], changes: dict[str, Any],
                                                       reason: str) -> None:
    assert (model_config({name: value for name, value in config.items() if value is not None})
            if changes else model_config(SMOLLM2))
    with pytest.raises(UnsupportedModelError) as caught:
        model_config({name: value for name, value in {**config, **changes}.items() if value is not None})
    assert reason in str(caught.value) and '\n' not in str(caught.value)


OLD_FALCON = {'model_type': 'RefinedWebModel', 'vocab_size': 65024, 'hidden_size': 4544, 'n_layer': 32, 'n_head': 71,
              'multi_query': True, 'parallel_attn': True, 'bias': False, 'alibi': False, 'layer_norm_epsilon': 1e-5}


def test_the_first_falcons_have_words_of_their_own() -> None:
    model = model_config(OLD_FALCON)
    assert (model.layers, model.heads, model.kv_heads) == (32, 71, 1)
    larger = {**OLD_FALCON, 'model_type': 'RefinedWeb', 'hidden_size': 8192, 'n_head': 128, 'n_head_kv': 8}
    del larger['multi_query']
    model = model_config(larger)
    assert (model.heads, model.kv_heads, model.parallel) == (128, 8, True)
    assert 'layers.{i}.mlp_norm' in family_of(larger).names(HfConfig(larger))
    assert 'layers.{i}.mlp_norm' not in family_of(OLD_FALCON).names(HfConfig(OLD_FALCON))


MPT_7B = {  # as it was published
    'model_type': 'mpt', 'vocab_size': 50432, 'd_model': 4096, 'n_heads': 32, 'n_layers': 32, 'max_seq_len': 2048,
    'attn_config': {'alibi': True, 'alibi_bias_max': 8, 'attn_impl': 'torch', 'attn_pdrop': 0,
                    'attn_type': 'multihead_attention', 'attn_uses_sequence_id': False, 'clip_qkv': None,
                    'prefix_lm': False, 'qk_ln': False, 'softmax_scale': None},
    'embedding_fraction': 1.0, 'expansion_ratio': 4, 'learned_pos_emb': True, 'logit_scale': None, 'no_bias': True,
    'norm_type': 'low_precision_layernorm', 'use_cache': False, 'verbose': 0}


def test_mpt_as_it_was_published() -> None:
    model = model_config(MPT_7B)
    assert (model.intermediate_size, model.alibi_slopes[0]) == (16384, 2 ** -0.25)


GEMMA_3_4B = {  # as it was published
    'model_type': 'gemma3', 'architectures': ['Gemma3ForConditionalGeneration'], 'eos_token_id': [1, 106],
    'image_token_index': 262144, 'mm_tokens_per_image': 256, 'text_config': {
        'hidden_size': 2560, 'intermediate_size': 10240, 'model_type': 'gemma3_text', 'num_hidden_layers': 34,
        'rope_scaling': {'factor': 8.0, 'rope_type': 'linear'}, 'sliding_window': 1024},
    'vision_config': {'hidden_size': 1152, 'model_type': 'siglip_vision_model'}}


def test_the_text_part_of_a_gemma_3_that_sees_images() -> None:
    model = model_config(GEMMA_3_4B)
    names = ('vocab_size', 'heads', 'kv_heads', 'head_dim', 'context_length', 'tied_head', 'eos_token_ids')
    assert [getattr(model, name) for name in names] == [262208, 8, 4, 256, 131072, True, [1, 106]]
    assert model.windows == ([1024] * 5 + [0]) * 5 + [1024] * 4
    assert model.rope_inv_freq[0] == 0.125 and model.rope_local_inv_freq[0] == 1


def test_an_option_within_the_text_part_is_named_too() -> None:
    with pytest.raises(UnsupportedModelError, match='num_experts = 8 is not supported'):
        model_config({**GEMMA_3_4B, 'text_config': {**GEMMA_3_4B['text_config'], 'num_experts': 8}})


# As config.json says it before transformers 5, and since then.
@pytest.mark.parametrize(('before', 'since'), [
    ({'rope_theta': 5e5}, {'rope_type': 'default', 'rope_theta': 5e5}),
    ({'rope_theta': 5e5, 'partial_rotary_factor': 0.5},
     {'rope_type': 'default', 'rope_theta': 5e5, 'partial_rotary_factor': 0.5}),
    ({'rope_theta': 1e4, 'rope_scaling': {'type': 'linear', 'factor': 2.0}},
     {'rope_type': 'linear', 'factor': 2.0, 'rope_theta': 1e4}),
    ({'rope_theta': 5e5, 'rope_scaling': {
        'rope_type': 'llama3', 'factor': 32.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
        'original_max_position_embeddings': 8192}},
     {'rope_type': 'llama3', 'factor': 32.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0, 'rope_theta': 5e5,
      'original_max_position_embeddings': 8192}),
    ({'original_max_position_embeddings': 4096, 'rope_theta': 1e4, 'rope_scaling': {
        'type': 'su', 'short_factor': [1.5] * 32, 'long_factor': [4.0] * 32}},
     {'rope_type': 'longrope', 'short_factor': [1.5] * 32, 'long_factor': [4.0] * 32, 'rope_theta': 1e4,
      'original_max_position_embeddings': 4096}),
])
def test_positions_are_the_same_in_both_words(before: dict[str, Any], since: dict[str, Any]) -> None:
    older = changed(**{'rope_theta': None, **before})
    assert model_config(changed(rope_theta=None, rope_parameters=since)) == model_config(older)


def table(model: ModelConfig, positions: int) -> Any:
    """Return the inverse frequencies that the decoder gets for a cache of so many positions."""
    return np.asarray(model.to_native(positions)['rope_inv_freq'])


def test_longrope_takes_the_long_factors_where_a_cache_has_room_for_more_than_the_original_context() -> None:
    config = {**SMOLLM2, 'model_type': 'phi3', 'max_position_embeddings': 131072,
              'original_max_position_embeddings': 4096,
              'rope_scaling': {'type': 'longrope', 'short_factor': [1.0] * 32, 'long_factor': [8.0] * 32}}
    model = model_config(config)
    assert model.context_length == 131072
    assert model.rope_scale == pytest.approx((1 + 5 / 12) ** 0.5)
    assert table(model, 4096) == pytest.approx(inverse_frequencies(1e5, 64), rel=1e-6)
    assert table(model, 4097) == pytest.approx(inverse_frequencies(1e5, 64) / 8, rel=1e-6)


def test_dynamic_scaling_begins_beyond_the_original_context() -> None:
    model = model_config(changed(rope_scaling={'type': 'dynamic', 'factor': 2.0}))
    assert model.context_length == 16384
    assert table(model, 8192) == pytest.approx(inverse_frequencies(1e5, 64), rel=1e-6)
    assert table(model, 8193) == pytest.approx(inverse_frequencies(1e5 * 3 ** (64 / 62), 64), rel=1e-6)


@pytest.mark.parametrize(('scaling', 'context'), [
    ({'rope_type': 'linear', 'factor': 4.0}, 32768),
    ({'rope_type': 'yarn', 'factor': 4.0}, 32768),
    ({'rope_type': 'yarn', 'factor': 4.0, 'original_max_position_embeddings': 1024}, 8192),
    ({'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
      'original_max_position_embeddings': 8192}, 8192),
])
def test_the_context_that_scaling_makes(scaling: dict[str, Any], context: int) -> None:
    assert model_config(changed(rope_scaling=scaling)).context_length == context


def test_windows_of_the_upper_layers_only() -> None:
    config = {**SMOLLM2, 'model_type': 'qwen2', 'use_sliding_window': True, 'sliding_window': 100,
              'max_window_layers': 28}
    assert model_config(config).windows == [0] * 28 + [100] * 2
    assert model_config({**config, 'use_sliding_window': False}).windows is None
