# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a family declares about the images that its models see, and the encoders that several families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import single_matrix, VisionConfig
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families.hf_config import HfConfig

# Our tensor name after `vision.` -> theirs, without `.weight` and `.bias`; `{i}` is the encoder layer, `{j}` the number
# of one of its output_layers.
Names = Mapping[str, str | tuple[str, ...]]

_RESAMPLING = {1: 'lanczos', 2: 'bilinear', 3: 'bicubic'}  # as Pillow numbers them


@dataclass(frozen=True)
class Vision:
    """
    The vision part of a family.

    `config` gets config.json, preprocessor_config.json and the configuration of the text part. `tensors`: Hugging
    Face's names, in which a first `model.` may be missing, and `vision_model.` be added after `vision_tower.`; all of
    them begin with one of Family.left_out. Layers after the last one that is used are left out.
    """

    config: Callable[[HfConfig, Mapping[str, Any], ModelConfig], VisionConfig]
    tensors: Names
    class_embedding: str = ''  # the tensor with the embedding of VisionConfig.has_class
    newline: str = ''  # the tensor that ends a line of patches, where the method is `pad`
    bare: frozenset[str] = frozenset()  # ours that are stored under names without `.weight`
    transposed: frozenset[str] = frozenset()  # those of them that are stored [in, out]
    row_scales: Mapping[str, str] = field(default_factory=dict)  # of a matrix and its bias: their name, with its ending


def padded(width: int) -> int:
    """Return a width as the kernels take it: the importer fills it with zeros."""
    return -(-width // 16) * 16


def layers_used(config: HfConfig, encoder: HfConfig, layers: int, last: int) -> int:
    """
    Return how many of an encoder's layers compute the outputs that the projector gets.

    `encoder`: its options; `layers`, `last`: the defaults of its number of layers and of `vision_feature_layer`, which
    counts from the end.
    """
    there, last = encoder.size('num_hidden_layers', layers), config.get('vision_feature_layer', last)
    if type(last) is not int or not -there <= last < 0:
        raise config.unsupported('vision_feature_layer')
    return there + 1 + last


def padded_patch(patch: int) -> int:
    """Return the columns of the matrix that embeds patches, followed by two columns for the class and the bias."""
    return padded(3 * patch * patch + 2)


def siglip(config: HfConfig) -> ModelConfig:
    """Return the encoder of a SigLIP model (Zhai et al., 2023), which embeds patches and their learned positions."""
    hidden, heads = config.size('hidden_size', 768), config.size('num_attention_heads', 12)
    patch, channels = config.size('patch_size', 16), config.size('num_channels', 3)
    config.served('vision_use_head')  # which pools all patches, for other tasks
    if hidden % heads or channels != 3:
        raise config.unsupported('hidden_size' if hidden % heads else 'num_channels')
    return ModelConfig(
        vocab_size=hidden, hidden_size=hidden, intermediate_size=config.size('intermediate_size', 3072),
        layers=config.size('num_hidden_layers', 12), heads=heads, kv_heads=heads, head_dim=padded(hidden // heads),
        context_length=(config.size('image_size', 224) // patch) ** 2, norm='layer',
        norm_eps=config.number('layer_norm_eps', 1e-6),
        activation=config.activation('hidden_act', 'gelu_pytorch_tanh'), gated=False, tied_head=False,
        bos_token_id=None, eos_token_ids=[], encoder=True, embedding_size=padded(3 * patch * patch),
        attention_scale=(hidden // heads) ** -0.5)


def siglip_tensors(base: str) -> dict[str, str | tuple[str, ...]]:
    """Return the names of a SigLIP encoder's tensors, which begin with `base`."""
    layer = f'{base}encoder.layers.{{i}}.'
    return {
        'encoder.project_in': f'{base}embeddings.patch_embedding',
        'encoder.positions': f'{base}embeddings.position_embedding',
        'encoder.layers.{i}.attn_norm': f'{layer}layer_norm1',
        'encoder.layers.{i}.attn.qkv': tuple(f'{layer}self_attn.{part}_proj' for part in 'qkv'),
        'encoder.layers.{i}.attn.o': f'{layer}self_attn.out_proj',
        'encoder.layers.{i}.mlp_norm': f'{layer}layer_norm2',
        'encoder.layers.{i}.mlp.up': f'{layer}mlp.fc1',
        'encoder.layers.{i}.mlp.down': f'{layer}mlp.fc2',
        'encoder.norm': f'{base}post_layernorm',
    }


CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
_QUICK_GELU = 1.702  # x * sigmoid(1.702 x)


def clip(config: HfConfig, layers: int) -> dict[str, Any]:
    """Return the fields of VisionConfig for the first `layers` layers of a CLIP encoder (Radford et al., 2021)."""
    hidden, heads = config.size('hidden_size', 768), config.size('num_attention_heads', 12)
    patch, channels = config.size('patch_size', 32), config.size('num_channels', 3)
    if hidden % heads or channels != 3:
        raise config.unsupported('hidden_size' if hidden % heads else 'num_channels')
    eps, positions = config.number('layer_norm_eps', 1e-5), (config.size('image_size', 224) // patch) ** 2 + 1
    is_quick = config.get('hidden_act', 'quick_gelu') == 'quick_gelu'
    stem = single_matrix(padded_patch(patch), hidden, eps)
    encoder = ModelConfig(
        vocab_size=hidden, hidden_size=hidden, intermediate_size=config.size('intermediate_size', 3072), layers=layers,
        heads=heads, kv_heads=heads, head_dim=padded(hidden // heads), context_length=positions, norm='layer',
        norm_eps=eps, activation='silu' if is_quick else config.activation('hidden_act'), gated=False, tied_head=False,
        bos_token_id=None, eos_token_ids=[], encoder=True, final_norm=False, attention_scale=(hidden // heads) ** -0.5)
    return {'stem': stem.replace(context_length=positions), 'encoder': encoder, 'has_class': True,
            'activation_scale': _QUICK_GELU if is_quick else 1.0}


def clip_tensors(base: str) -> dict[str, str | tuple[str, ...]]:
    """Return the names of a CLIP encoder's tensors, which begin with `base`."""
    layers = {ours: theirs for ours, theirs in siglip_tensors(base).items() if '{i}' in ours}
    return {'stem.project_in': f'{base}embeddings.patch_embedding',
            'stem.positions': f'{base}embeddings.position_embedding', 'stem.norm': f'{base}pre_layrnorm', **layers}


class Processor:
    """The options of a preprocessor_config.json; UnsupportedModelError names one that is missing or not supported."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take the content of the file."""
        self._options = options

    def get(self, name: str, default: Any) -> Any:
        """Return an option; `default` if it is absent or null."""
        value = self._options.get(name)
        return default if value is None else value

    def flag(self, name: str, default: bool = True) -> bool:
        """Return whether a step is done."""
        value = self._options.get(name)
        return default if value is None else bool(value)

    def edge(self, name: str, *keys: str, default: int | None = None) -> int:
        """Return a number of pixels: the first of `keys` that the option has, or the option itself."""
        value = self._options.get(name, default)
        if isinstance(value, dict):
            value = next((value[key] for key in keys if value.get(key) is not None), None)
        if type(value) is not int or not 0 < value <= 1 << 14:
            raise UnsupportedModelError(f'preprocessor_config.json: {name} = {self._options.get(name)!r} is not '
                                        'supported')
        return value

    def pixels(self, name: str, edge: str, default: int) -> int:
        """Return a number of pixels of a whole image: the option, or an entry of `size` under either name."""
        size = self._options.get('size')
        entries = size if isinstance(size, dict) else {}
        value = next((found for found in (self._options.get(name), entries.get(edge), entries.get(name))
                      if found is not None), default)
        if type(value) is not int or not 0 < value <= 1 << 30:
            raise UnsupportedModelError(f'preprocessor_config.json: {name} = {value!r} is not supported')
        return value

    def same(self, name: str, expected: int) -> None:
        """Raise UnsupportedModelError if an option differs from config.json."""
        if self._options.get(name) not in (None, expected):
            raise UnsupportedModelError(f'preprocessor_config.json: {name} = {self._options[name]!r} is not the '
                                        f'{expected} of config.json')

    def colors(self, name: str, default: list[float]) -> list[float]:
        """Return a number for each of red, green and blue."""
        value = default if self._options.get(name) is None else self._options[name]
        numbers = value if isinstance(value, list) else [value] * 3
        if len(numbers) != 3 or not all(isinstance(number, (int, float)) for number in numbers):
            raise UnsupportedModelError(f'preprocessor_config.json: {name} = {value!r} is not supported')
        return [float(number) for number in numbers]

    def always(self, *names: str) -> None:
        """Raise UnsupportedModelError where one of these steps is switched off."""
        for name in names:
            if not self.flag(name):
                raise UnsupportedModelError(f'preprocessor_config.json: {name} = false is not supported')

    def never(self, *names: str) -> None:
        """Raise UnsupportedModelError where one of these steps is switched on."""
        for name in names:
            if self.flag(name, default=False):
                raise UnsupportedModelError(f'preprocessor_config.json: {name} = true is not supported')

    def shared(self, resample: int, mean: list[float] | None = None, std: list[float] | None = None) -> dict[str, Any]:
        """Return the fields of Pixeling that all methods have; the arguments are defaults."""
        self.always('do_resize', 'do_rescale', 'do_normalize')
        found = self._options.get('resample')
        found = resample if found is None else found
        if found not in _RESAMPLING:
            raise UnsupportedModelError(f'preprocessor_config.json: resample = {found!r} is not supported')
        factor = self._options.get('rescale_factor')
        return {'resample': _RESAMPLING[found], 'mean': self.colors('image_mean', mean or [0.5] * 3),
                'std': self.colors('image_std', std or [0.5] * 3),
                'rescale': 1 / 255 if factor is None else float(factor)}
