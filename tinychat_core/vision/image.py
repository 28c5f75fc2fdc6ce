# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""An image as every door hands it over: RGB pixels, and a key of its content."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from tinychat_core._tinychat import CancelFlag
from tinychat_core.checkpoint.vision_config import MOST_UNEVEN
from tinychat_core.errors import InvalidParameterError, shown, TinyChatError

Rgb = npt.NDArray[np.uint8]

MAX_PIXELS = 1 << 25  # of one image: 100 MB in RGB
MAX_BYTES = 1 << 26   # of an encoded image
_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP')


@dataclass(frozen=True, eq=False)
class Image:
    """RGB pixels uint8 [height, width, 3]; images with the same `key` show the same."""

    pixels: Rgb
    key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the size; InvalidParameterError for an image that no model can look at."""
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise InvalidParameterError(f'an image must be uint8 [height, width, 3], not {self.pixels.dtype} '
                                        f'{list(self.pixels.shape)}')
        height, width = self.pixels.shape[:2]
        check_size(width, height)
        content = xxhash.xxh3_128(f'{width}x{height} '.encode())
        content.update(np.ascontiguousarray(self.pixels).data)
        object.__setattr__(self, 'key', content.digest())

    def load(self, cancel: CancelFlag) -> Image:
        """Return the image itself: it is a source that is decoded already."""
        return self

    def to_jpeg(self) -> bytes:
        """Return the image as a JPEG file; TinyChatError if Pillow is not installed."""
        file = BytesIO()
        _pillow().fromarray(np.ascontiguousarray(self.pixels)).save(file, 'JPEG', quality=95)
        return file.getvalue()

    @classmethod
    def decode(cls, data: bytes, what: str = 'the image') -> Image:
        """
        Return the image of a JPEG, PNG, WebP or BMP file; `what` names it in messages.

        Its size is checked before it is decoded. Transparent parts become what the file stores behind them, as in
        transformers. Raises InvalidParameterError for anything else, TinyChatError if Pillow is not installed.
        """
        pillow = _pillow()
        if len(data) > MAX_BYTES:
            raise InvalidParameterError(f'{what} has {len(data)} bytes, more than the limit of {MAX_BYTES}')
        if not data:
            raise InvalidParameterError(f'{what} is empty')
        try:
            with pillow.open(BytesIO(data), formats=_FORMATS) as opened:
                width, height = opened.size
                check_size(width, height, what)
                if opened.mode not in ('RGB', 'L', 'P', 'RGBA', 'LA', '1', 'CMYK', 'YCbCr'):
                    raise InvalidParameterError(f'{what} has pixels of the kind {shown(opened.mode)}; send 8 bits per '
                                                'color')
                return cls(np.asarray(opened.convert('RGB')))
        except InvalidParameterError as error:
            raise InvalidParameterError(str(error) if what in str(error) else f'{what}: {error}') from None
        except pillow.UnidentifiedImageError:
            raise InvalidParameterError(f'{what} is not a {", ".join(_FORMATS[:-1])} or {_FORMATS[-1]} file') from None
        except MemoryError:
            raise
        except Exception as error:  # a decoder of untrusted bytes may raise anything
            raise InvalidParameterError(f'{what} is damaged: {error}') from None


def check_size(width: int, height: int, what: str = 'the image') -> None:
    """Raise InvalidParameterError for an image that is empty, too large or too narrow."""
    if width < 1 or height < 1:
        raise InvalidParameterError(f'{what} is empty: {width} x {height} pixels')
    if width * height > MAX_PIXELS:
        raise InvalidParameterError(f'{what} has {width} x {height} pixels, more than the limit of {MAX_PIXELS}')
    if max(width, height) > MOST_UNEVEN * min(width, height):
        raise InvalidParameterError(f'{what} has {width} x {height} pixels: one edge is more than {MOST_UNEVEN} times '
                                    'as long as the other')


def _pillow() -> Any:
    try:
        from PIL import Image as pillow
    except ImportError:
        raise TinyChatError("images need Pillow: pip install 'tinychat_ros[vision]', or apt install python3-pil"
                            ) from None
    pillow.MAX_IMAGE_PIXELS = None  # `check_size` has a lower limit, and a message that names the image
    return pillow
