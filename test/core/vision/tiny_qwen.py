# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A Qwen 2.5-VL and a Qwen 3-VL with random weights that transformers made, and their directories."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import save_file
import small_checkpoint as small
import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tinychat_core.engine import Engine
from tinychat_core.importers import import_model

NAMES = ('qwen2.5-vl', 'qwen3-vl')
IDS = {token: 256 + i for i, token in enumerate(
    ['<|end|>', '<|vision_start|>', '<|vision_end|>', '<|image_pad|>', '<|video_pad|>', '<|im_end|>'])}
IMAGE = IDS['<|image_pad|>']
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}")
CONTEXT = 1024
BOUND = 1e-4  # of the largest number of the reference
_TEXT = {'vocab_size': 304, 'hidden_size': 96, 'intermediate_size': 96, 'num_hidden_layers': 5,
         'num_attention_heads': 3, 'num_key_value_heads': 1, 'max_position_embeddings': CONTEXT,
         'initializer_range': 0.2, 'eos_token_id': IDS['<|im_end|>'], 'bos_token_id': None, 'pad_token_id': 256}
_VISION = {'depth': 5, 'hidden_size': 96, 'num_heads': 4, 'out_hidden_size': 96, 'initializer_range': 0.2}
_TOKENS = {'image_token_id': IMAGE, 'video_token_id': IDS['<|video_pad|>'],
           'vision_start_token_id': IDS['<|vision_start|>'], 'vision_end_token_id': IDS['<|vision_end|>']}


def processor_options(name: str) -> dict[str, Any]:
    """Return the content of preprocessor_config.json: 2 x 2 to 60 tiles, under the names of each release."""
    patch = 14 if name == 'qwen2.5-vl' else 16
    shared = {'patch_size': patch, 'temporal_patch_size': 2, 'merge_size': 2}
    fewest, most = (tiles * (2 * patch) ** 2 for tiles in (4, 60))
    if name == 'qwen2.5-vl':
        return {**shared, 'min_pixels': fewest, 'max_pixels': most}
    return {**shared, 'size': {'shortest_edge': fewest, 'longest_edge': most}, 'image_mean': [0.5] * 3,
            'image_std': [0.5] * 3}


def model(name: str) -> Any:
    """Return the model in float32, with weights that bf16 represents."""
    torch.manual_seed(0)
    made: Any
    if name == 'qwen2.5-vl':
        text = {**_TEXT, 'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e4, 'mrope_section': [4, 6, 6]}}
        vision = {**_VISION, 'intermediate_size': 116, 'fullatt_block_indexes': [1, 4], 'window_size': 56}
        made = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **_TOKENS))
    else:
        rope = {'rope_type': 'default', 'rope_theta': 1e4, 'mrope_section': [6, 5, 5], 'mrope_interleaved': True}
        text = {**_TEXT, 'head_dim': 32, 'num_attention_heads': 4, 'num_key_value_heads': 2, 'rope_parameters': rope}
        vision = {**_VISION, 'intermediate_size': 160, 'deepstack_visual_indexes': [0, 1, 3],
                  'num_position_embeddings': 49}
        made = Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **_TOKENS))
    made.eval()
    for parameter in made.parameters():
        noise = 0.05 * torch.randn_like(parameter) if parameter.ndim == 1 else 0
        parameter.data = (parameter.data + noise).to(torch.bfloat16).float()
    return made


def save(made: Any, name: str, directory: Path, tensors: dict[str, Any] | None = None,
         config: dict[str, Any] | None = None) -> Path:
    """Write the model's Hugging Face directory; `tensors`, `config`: in another layout."""
    directory.mkdir(parents=True)
    save_file({key: tensor.contiguous() for key, tensor in (tensors or made.state_dict()).items()},
              directory / 'model.safetensors')
    options = config or {**made.config.to_dict(), 'architectures': [type(made).__name__]}
    (directory / 'config.json').write_text(json.dumps(options, default=str))
    (directory / 'preprocessor_config.json').write_text(json.dumps(processor_options(name)))
    tokenizer = small.tokenizer()
    tokenizer['added_tokens'] = [{'id': id_, 'content': token, 'single_word': False, 'lstrip': False, 'rstrip': False,
                                  'normalized': False, 'special': True} for token, id_ in IDS.items()]
    (directory / 'tokenizer.json').write_text(json.dumps(tokenizer))
    (directory / 'tokenizer_config.json').write_text(json.dumps({'eos_token': '<|im_end|>', 'chat_template': TEMPLATE}))
    return directory


def reference_pixels(name: str, image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Return transformers' patches [n, numbers], and their grid: frames, rows and columns of patches."""
    found = Qwen2VLImageProcessorPil(**processor_options(name)).preprocess(image, return_tensors='np',
                                                                           input_data_format='channels_last')
    return found['pixel_values'], found['image_grid_thw'][0].tolist()


def features(made: Any, name: str, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return transformers' embeddings of an image, those for the first layers behind them."""
    pixels, grid = reference_pixels(name, image)
    with torch.no_grad():
        found = made.get_image_features(torch.from_numpy(pixels), torch.tensor([grid]))
    parts = [found.pooler_output[0], *(part[0] for part in getattr(found, 'deepstack_features', None) or ())]
    return torch.cat(parts, dim=-1).numpy()


def logits(made: Any, name: str, ids: list[int], images: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Return transformers' logits [n, vocab] after each token of a prompt with these images."""
    arguments: dict[str, Any] = {}
    made.model.rope_deltas = None
    if images:
        pixels, grids = zip(*(reference_pixels(name, image) for image in images), strict=True)
        arguments = {'pixel_values': torch.from_numpy(np.concatenate(pixels)), 'image_grid_thw': torch.tensor(grids),
                     'mm_token_type_ids': (torch.tensor([ids]) == IMAGE).int()}
    with torch.no_grad():
        found: npt.NDArray[np.float32] = made(input_ids=torch.tensor([ids]), **arguments).logits[0].numpy()
    return found


def load(made: Any, checkpoint: Any) -> None:
    """Give a model of transformers the matrices that a checkpoint means, whose zeros for the kernels are left out."""
    text, visual = made.model.language_model, made.model.visual

    def copy(ours: str, *modules: Any) -> None:
        whole = checkpoint.linear(ours).dequantized()
        parts = np.split(whole, len(modules)) if len({module.weight.shape for module in modules}) == 1 else np.split(
            whole, np.cumsum([len(module.weight) for module in modules])[:-1])
        for module, part in zip(modules, parts, strict=True):
            flat = module.weight.view(len(module.weight), -1)
            flat.copy_(torch.from_numpy(part[:flat.shape[0], :flat.shape[1]].copy()))

    copy('embedding', text.embed_tokens)
    copy('head', made.lm_head)
    for i, layer in enumerate(text.layers):
        attention, mlp = layer.self_attn, layer.mlp
        copy(f'layers.{i}.attn.qkv', attention.q_proj, attention.k_proj, attention.v_proj)
        copy(f'layers.{i}.attn.o', attention.o_proj)
        copy(f'layers.{i}.mlp.gate_up', mlp.gate_proj, mlp.up_proj)
        copy(f'layers.{i}.mlp.down', mlp.down_proj)
    has_stem = 'vision.stem.project_in' in checkpoint.manifest.tensors
    copy('vision.stem.project_in' if has_stem else 'vision.encoder.project_in', visual.patch_embed.proj)
    for i, block in enumerate(visual.blocks):
        ours = f'vision.encoder.layers.{i}.'
        heads = checkpoint.linear(f'{ours}attn.qkv').dequantized().reshape(12, 32, 96)[:, :24]
        block.attn.qkv.weight.copy_(torch.from_numpy(heads.reshape(288, 96).copy()))
        out = checkpoint.linear(f'{ours}attn.o').dequantized().reshape(96, 4, 32)[..., :24]
        block.attn.proj.weight.copy_(torch.from_numpy(out.reshape(96, 96).copy()))
        if has_stem:
            copy(f'{ours}mlp.up', block.mlp.linear_fc1)
            copy(f'{ours}mlp.down', block.mlp.linear_fc2)
        else:
            copy(f'{ours}mlp.gate_up', block.mlp.gate_proj, block.mlp.up_proj)
            copy(f'{ours}mlp.down', block.mlp.down_proj)
    mergers = {'projector.{}': visual.merger}
    mergers |= {f'deepstack.{j}.{{}}': merger for j, merger in enumerate(getattr(visual, 'deepstack_merger_list', ()))}
    for name, merger in mergers.items():
        first = 1 if name.startswith('deepstack') else 0
        inner, outer = (merger.linear_fc1, merger.linear_fc2) if has_stem else (merger.mlp[0], merger.mlp[2])
        copy(f'vision.{name.format(first)}.project_in', inner)
        copy(f'vision.{name.format(first + 1)}.project_in', outer)


class Tiny:
    """A model as transformers has it and as the engine has it."""

    def __init__(self, name: str, directory: Path) -> None:
        """Make, save, import and open it."""
        self.name, self.reference = name, model(name)
        self.source = save(self.reference, name, directory / 'model')
        import_model(str(self.source), directory / 'ours')
        self.engine = Engine.open(directory / 'ours', threads=2)

    def theirs(self, ids: list[int]) -> list[int]:
        """Return the ids as transformers has them: the image's token for each row."""
        return [id_ if id_ < 1000 else IMAGE for id_ in ids]

    def logits(self, ids: list[int], pictures: list[Any]) -> npt.NDArray[np.float32]:
        """Return transformers' logits [n, vocab] after each token of a prompt of ours."""
        return logits(self.reference, self.name, self.theirs(ids), pictures)
