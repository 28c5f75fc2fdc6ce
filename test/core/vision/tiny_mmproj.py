# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A reference model as two GGUF files, text and vision, with the names that llama.cpp's converters write."""
from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
import re
from types import SimpleNamespace
from typing import Any

from core import plain_gguf
from families import gguf_models
import numpy as np
import small_checkpoint as small

_LAYER = {'layer_norm1': 'ln1', 'layer_norm2': 'ln2', 'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k',
          'self_attn.v_proj': 'attn_v', 'self_attn.out_proj': 'attn_out', 'mlp.fc1': 'ffn_up', 'mlp.fc2': 'ffn_down',
          # InternVL
          'layernorm_before': 'ln1', 'layernorm_after': 'ln2', 'attention.q_proj': 'attn_q',
          'attention.k_proj': 'attn_k', 'attention.v_proj': 'attn_v', 'attention.projection_layer': 'attn_out',
          'lambda_1': 'ls1.weight', 'lambda_2': 'ls2.weight'}
_REST = {'embeddings.patch_embedding': 'v.patch_embd', 'embeddings.position_embedding': 'v.position_embd',
         'embeddings.class_embedding': 'v.class_embd', 'pre_layrnorm': 'v.pre_ln', 'post_layernorm': 'v.post_ln',
         'embeddings.patch_embeddings.projection': 'v.patch_embd', 'embeddings.cls_token': 'v.class_embd',
         'embeddings.position_embeddings': 'v.position_embd.weight'}
_PROJECTOR = {'model.connector.modality_projection.proj': 'mm.model.fc',
              'model.multi_modal_projector.mm_soft_emb_norm': 'mm.soft_emb_norm',
              'model.multi_modal_projector.mm_input_projection_weight': 'mm.input_projection.weight',
              'model.multi_modal_projector.layer_norm': 'mm.model.mlp.0', 'model.image_newline': 'model.image_newline'}
_LINEAR = {'llava': ('mm.0', 'mm.2'), 'llava_next': ('mm.0', 'mm.2'), 'internvl': ('mm.model.mlp.1', 'mm.model.mlp.3')}


def vision_tensors(model: Any) -> dict[str, plain_gguf.Tensor]:
    """Return the tensors of the vision part."""
    kind = model.config.model_type
    projector = {**_PROJECTOR, **{f'model.multi_modal_projector.linear_{i + 1}': name
                                  for i, name in enumerate(_LINEAR.get(kind, ()))}}
    made = {}
    for name, tensor in model.state_dict().items():
        if 'language_model' in name or 'text_model' in name or name.startswith('lm_head') or '.head.' in name:
            continue
        values = tensor.float().numpy()
        stem, ending = name, ''
        if name.endswith(('.weight', '.bias')):
            stem, _, part = name.rpartition('.')
            ending = f'.{part}'
        inner = re.sub(r'^model\.vision_(tower|model)\.', '', stem)
        layer = re.fullmatch(r'encoder\.layers?\.(\d+)\.(.+)', inner)
        if stem == 'model.multi_modal_projector.mm_soft_emb_norm':
            values = values + np.float32(1)
        if stem in projector:
            theirs = projector[stem] + ending
        elif layer is not None:
            theirs = f'v.blk.{layer[1]}.{_LAYER[layer[2]]}{ending}'
        else:
            theirs = _REST[inner] + ending
        made[theirs] = plain_gguf.Tensor('F32', values.shape, values.astype(np.float32).tobytes())
    return made


def vision_metadata(model: Any, processor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of the vision part."""
    config, vision = model.config, model.config.vision_config
    first = lambda value: value[0] if isinstance(value, (list, tuple)) else value  # noqa: E731
    options = {
        'image_size': first(vision.image_size), 'patch_size': first(vision.patch_size),
        'embedding_length': vision.hidden_size, 'feed_forward_length': vision.intermediate_size,
        'block_count': vision.num_hidden_layers, 'attention.head_count': vision.num_attention_heads,
        'attention.layer_norm_epsilon': vision.layer_norm_eps, 'projection_dim': config.text_config.hidden_size,
        'image_mean': processor['image_mean'], 'image_std': processor['image_std']}
    more: dict[str, Any] = {
        'smolvlm': lambda: {'projector.scale_factor': config.scale_factor,
                            'preproc_image_size': processor['size']['longest_edge']},
        'gemma3': lambda: {'projector.scale_factor': first(vision.image_size) // vision.patch_size // int(
            config.mm_tokens_per_image ** 0.5)},
        'internvl': lambda: {'projector.scale_factor': int(1 / config.downsample_ratio),
                             'preproc_max_tiles': processor['max_patches']},
        'llava': lambda: {'feature_layer': [vision.num_hidden_layers - 1]},
        'llava_next': lambda: {'feature_layer': [vision.num_hidden_layers - 1], 'image_grid_pinpoints': [
            edge for size in config.image_grid_pinpoints for edge in size]},
    }[config.model_type]()
    projector = {'smolvlm': 'idefics3', 'llava_next': 'mlp', 'llava': 'mlp'}.get(config.model_type, config.model_type)
    return {'general.architecture': 'clip', 'general.type': 'mmproj', 'clip.has_vision_encoder': True,
            'clip.projector_type': projector, 'clip.use_gelu': not config.model_type.startswith('llava'),
            **{f'clip.vision.{name}': value for name, value in {**options, **more}.items()}}


def save(model: Any, source: Path, directory: Path, processor: Mapping[str, Any], **changes: Any) -> tuple[Path, Path]:
    """Write text.gguf, with the tokenizer and the template of the Hugging Face directory `source`, and mmproj.gguf."""
    directory.mkdir(exist_ok=True)
    state = {re.sub(r'^model\.(language_model|text_model)\.', 'model.', name): tensor
             for name, tensor in model.state_dict().items()
             if re.match(r'model\.(language_model|text_model)\.|lm_head', name)}
    text = model.config.text_config
    text.tie_word_embeddings = model.config.tie_word_embeddings
    text.model_type = {'gemma3_text': 'gemma3'}.get(text.model_type, text.model_type)
    path = gguf_models.save(SimpleNamespace(config=text, state=state), directory / 'text.gguf')
    metadata, tensors = plain_gguf.read(path)
    special = {token['id']: token['content']
               for token in json.loads((source / 'tokenizer.json').read_text())['added_tokens']}
    letters = {id_: letter for letter, id_ in small.tokenizer()['model']['vocab'].items()}
    tokens = [special.get(i) or letters.get(i) or f'<unused{i}>' for i in range(text.vocab_size)]
    template = json.loads((source / 'tokenizer_config.json').read_text())['chat_template']
    metadata |= {
        'tokenizer.ggml.tokens': tokens, 'tokenizer.chat_template': template, 'tokenizer.ggml.eos_token_id': 256,
        'tokenizer.ggml.token_type': [3 if i in special else 1 for i in range(text.vocab_size)]}
    del metadata['tokenizer.ggml.bos_token_id']
    plain_gguf.write(path, metadata, tensors)
    options = {**vision_metadata(model, processor), **changes}
    return path, plain_gguf.write(directory / 'mmproj.gguf', {
        key: value for key, value in options.items() if value is not None}, vision_tensors(model))
