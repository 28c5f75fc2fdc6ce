# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
How a model sees images: pixels, encoder, projector, and what stands in the prompt for them.

tinychat.json stores it in the field `vision`. The tensors are those of `vision.STAGE.NAME`: each stage is a ModelConfig
with `encoder` set, so that the decoder's own layers compute it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tinychat_core.checkpoint.model_config import Activation, from_json, ModelConfig

# Of the latest images: a further question about one of them does not encode it again.
EMBEDDING_CACHE_BYTES = 32 << 20

Pixels = Annotated[int, Meta(ge=1, le=1 << 14)]
Tiles = Annotated[int, Meta(ge=1, le=256)]
Size = Annotated[list[Pixels], Meta(min_length=2, max_length=2)]
Area = Annotated[int, Meta(ge=1, le=1 << 30)]
MOST_UNEVEN = 200  # longer edge of an image by its shorter edge: beyond, resizing leaves nothing of the shorter one
Colors = Annotated[list[float], Meta(min_length=3, max_length=3)]


class Pixeling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """
    How an image becomes tiles of `tile` x `tile` pixels.

    `method`: `squeeze` resizes to one tile; `crop` resizes the shorter edge and takes the center; `split` resizes the
    longer edge to `longest_edge`, then to whole tiles, and adds the whole image as the last tile (Idefics 3); `fill`
    resizes to the shape of up to `most_tiles` tiles with the most similar ratio, and adds the whole image as the last
    one (InternVL); `pad` resizes to the best of `sizes`, fills up with black, and adds the whole image as the first
    tile (LLaVA-NeXT). `native` keeps about the size of the image, `min_pixels` to `max_pixels`, and resizes it to whole
    tiles. All tiles attend to each other, and each becomes one embedding (Qwen2-VL).
    """

    method: Literal['squeeze', 'crop', 'split', 'fill', 'pad', 'native']
    tile: Pixels
    patch: Pixels
    resample: Literal['bilinear', 'bicubic', 'lanczos']
    mean: Colors
    std: Colors
    rescale: Annotated[float, Meta(gt=0)] = 1 / 255
    longest_edge: Pixels | None = None  # of `split`; None: the image is one tile, resized twice
    fewest_tiles: Tiles = 1  # of `fill`
    most_tiles: Tiles = 1
    sizes: Annotated[list[Size], Meta(max_length=256)] = []  # [height, width] of `pad`, in the order of preference
    min_pixels: Area | None = None  # of `native`
    max_pixels: Area | None = None

    def __post_init__(self) -> None:
        """Check how the fields fit together; raises ValueError."""
        if self.tile % self.patch:
            raise ValueError(f'tiles of {self.tile} pixels do not consist of patches of {self.patch}')
        if not all(number > 0 for number in self.std):
            raise ValueError('std has a number that is not positive')
        if self.method == 'pad' and not self.sizes:
            raise ValueError('there are no sizes to resize to')
        if any(edge % self.tile for size in self.sizes for edge in size):
            raise ValueError(f'sizes = {self.sizes} are not multiples of {self.tile}')
        if self.fewest_tiles > self.most_tiles:
            raise ValueError(f'fewest_tiles = {self.fewest_tiles} is more than most_tiles = {self.most_tiles}')
        if self.method == 'native' and not 0 < (self.min_pixels or 0) <= (self.max_pixels or 0):
            raise ValueError(f'{self.min_pixels} to {self.max_pixels} pixels of an image are not supported')

    @property
    def tiles_together(self) -> int:
        """The maximum number of tiles that attend to each other; rounding to whole tiles may exceed `max_pixels`."""
        if self.method != 'native':
            return 1
        most, fewest = ((pixels or 0) / self.tile ** 2 for pixels in (self.max_pixels, self.min_pixels))
        rounded_up = (math.sqrt(fewest * MOST_UNEVEN) + 1) * (math.sqrt(fewest / MOST_UNEVEN) + 1)
        return math.ceil(max(most, math.sqrt(most * MOST_UNEVEN), rounded_up))

    @property
    def side(self) -> int:
        """Patches along the edge of a tile."""
        return self.tile // self.patch


class Placing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """
    The text that represents an image in the prompt.

    The chat template writes `marker`; the text that replaces it has `token` once for each embedding. `whole` is the
    text of an image of one tile. `tile`, `row_end` and `overview` are the texts for the tiles of a larger image; the
    overview, which shows the whole image, comes last. `{rows}` stands for the embeddings of a tile, `{row}` and
    `{column}` count from 1. Without `tile`, a larger image has the text `whole`, too, and `{rows}` stands for all its
    embeddings.
    """

    marker: str
    token: str
    whole: str
    tile: str = ''
    row_end: str = ''
    overview: str = ''


class VisionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """
    An encoder, and the stages before and after it.

    `stem` (tensors `vision.stem`) embeds patches if a norm follows; otherwise `encoder` does. `has_class`: the first
    row is not a patch, and is left out. `merge`: the rows of this many patches in each direction become one; `merging`:
    by concatenation or by their mean. `projector`: single matrices and norms, with `activation` after each matrix but
    the last. With the method `pad` the tensor `vision.newline` [width] ends each line of patches.

    Of images of native size: `frames` times the pixels of a patch are the input of the first matrix, color by color (a
    still image is a video of equal frames). `window`: edge, in tiles, of the squares to which attention is limited in
    layers with the window OWN_SPAN. `grid`: edge of the square of learned positions (the tensor `vision.grid`), which
    is interpolated to the patches. `deepstack`: for each of the encoder's output_layers a norm, a matrix, the
    activation and a matrix, whose results follow the projector's in an embedding. `has_positions`: the rows of an image
    have the positions of their tiles in the language model (M-RoPE).
    """

    pixels: Pixeling
    placing: Placing
    encoder: ModelConfig
    projector: list[ModelConfig]
    stem: ModelConfig | None = None
    has_class: bool = False
    merge: Annotated[int, Meta(ge=1, le=64)] = 1
    merging: Literal['concatenate', 'mean'] = 'concatenate'
    activation: Activation | None = None
    sees_both_ways: bool = False  # the rows of an image see each other in the language model, too (Gemma 3)
    frames: Annotated[int, Meta(ge=1, le=16)] = 1
    window: Annotated[int, Meta(ge=1, le=1024)] | None = None
    grid: Annotated[int, Meta(ge=1, le=1024)] | None = None
    deepstack: list[list[ModelConfig]] = []
    has_positions: bool = False
    # The importer scales the input of the encoder's activation by this, and its output back: quick GELU is
    # silu(1.702 x) / 1.702.
    activation_scale: Annotated[float, Meta(gt=0)] = 1.0

    @property
    def stages(self) -> dict[str, ModelConfig]:
        """The stages in their order, by the name of their tensors after `vision.`."""
        stem = {} if self.stem is None else {'stem': self.stem}
        return {**stem, 'encoder': self.encoder,
                **{f'projector.{i}': matrix for i, matrix in enumerate(self.projector)},
                **{f'deepstack.{j}.{i}': matrix for j, matrices in enumerate(self.deepstack)
                   for i, matrix in enumerate(matrices)}}

    @property
    def tile_rows(self) -> int:
        """Embeddings of a tile."""
        return (self.pixels.side // self.merge) ** 2

    @property
    def most_patches(self) -> int:
        """Rows of the longest sequence of the encoder."""
        return self.pixels.tiles_together * self.pixels.side ** 2 + self.has_class

    def longest_sequence(self, most_rows: int) -> int:
        """Return the maximum number of rows of an encoder's sequence for images of up to `most_rows` embeddings."""
        if self.pixels.method != 'native':
            return self.most_patches
        return min(self.pixels.tiles_together, most_rows) * self.pixels.side ** 2

    @property
    def patch_width(self) -> int:
        """Numbers of a patch."""
        return 3 * self.frames * self.pixels.patch ** 2

    @property
    def width(self) -> int:
        """Elements of an embedding."""
        return self.projector[-1].hidden_size * (1 + len(self.deepstack))

    @classmethod
    def from_json(cls, fields: Any) -> VisionConfig:
        """Return the configuration of a JSON object; ValueError and CheckpointError as ModelConfig.from_json."""
        return from_json(cls, fields, "the configuration of the model's vision")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without the fields that have their default value."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields

    def __post_init__(self) -> None:
        """Check how the fields fit together; raises ValueError."""
        if not self.projector:
            raise ValueError('there is no projector')
        if self.pixels.side % self.merge:
            raise ValueError(f'{self.pixels.side} patches cannot be merged by {self.merge}')
        patches, positions = self.most_patches, (self.stem or self.encoder).context_length
        if patches != positions:
            raise ValueError(f'tiles of {self.pixels.tile} pixels have {patches} patches, but the encoder has '
                             f'{positions} positions')
        if self.pixels.method == 'native' and self.pixels.side != self.merge:
            raise ValueError(f'{self.pixels.side} patches along a tile cannot be merged by {self.merge}')
        if len(self.deepstack) != len(self.encoder.output_layers or ()):
            raise ValueError(f'deepstack has {len(self.deepstack)} projectors, but there are '
                             f'{len(self.encoder.output_layers or ())} output_layers')
        if not all(stage.encoder for stage in self.stages.values()):
            raise ValueError('a stage is not an encoder')


def single_matrix(in_features: int, out_features: int, norm_eps: float | None = None) -> ModelConfig:
    """Return a stage without layers: a matrix, and a LayerNorm after it if `norm_eps` is given."""
    return ModelConfig(
        vocab_size=out_features, hidden_size=out_features, intermediate_size=16, layers=0, heads=1, kv_heads=1,
        head_dim=16, context_length=1 << 16, norm='layer', norm_eps=norm_eps or 0.0, activation='relu', gated=False,
        tied_head=False, bos_token_id=None, eos_token_ids=[], final_norm=norm_eps is not None, encoder=True,
        embedding_size=in_features)


def single_norm(width: int, norm: Literal['rms', 'layer'], norm_eps: float) -> ModelConfig:
    """Return a stage without layers and matrices: only a norm."""
    stage = single_matrix(width, width, norm_eps)
    return stage.replace(norm=norm, embedding_size=None)
