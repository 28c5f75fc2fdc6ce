# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Where images come from: files, cameras' raw frames, data URLs. Each is decoded when its request starts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tinychat_core._tinychat import CancelFlag
from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.vision.image import check_size, Image, Rgb

Bytes = npt.NDArray[np.uint8]


class ImageSource(Protocol):
    """What a request holds for an image until it starts."""

    def load(self, cancel: CancelFlag) -> Image:
        """Return the image; a TinyChatError says what is wrong with it. Canceled once `cancel` is set."""


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """A JPEG, PNG, WebP or BMP file; `what` names it in messages."""

    data: bytes
    what: str = 'the image'

    def load(self, cancel: CancelFlag) -> Image:
        """Return the image; InvalidParameterError where the bytes are not one."""
        return Image.decode(bytes(self.data), self.what)


@dataclass(frozen=True, eq=False)
class RawImage:
    """
    A frame as sensor_msgs/Image has it; `what` names it in messages.

    `data`: rows of `step` bytes. `encoding`: one of sensor_msgs/image_encodings.hpp that has colors or brightness of 8
    or 16 bits. Bayer patterns are interpolated bilinearly; YUV is BT.601 with limited range, as in cv_bridge.
    """

    width: int
    height: int
    encoding: str
    step: int
    is_bigendian: bool
    data: bytes
    what: str = 'the image'

    def load(self, cancel: CancelFlag) -> Image:
        """Return the image; InvalidParameterError for an unknown encoding, or sizes that do not fit together."""
        if self.encoding not in _ENCODINGS:
            raise InvalidParameterError(f'{self.what} has the encoding {shown(self.encoding)}; supported are '
                                        f'{", ".join(_ENCODINGS)}')
        channels, depth, convert = _ENCODINGS[self.encoding]
        check_size(self.width, self.height, self.what)
        width = self.width * channels * depth
        if self.step < width:
            raise InvalidParameterError(f'{self.what} has a step of {self.step} bytes, but {self.width} pixels of '
                                        f'{self.encoding} take {width}')
        needed = self.step * (self.height - 1) + width
        if len(self.data) < needed:
            raise InvalidParameterError(f'{self.what} has {len(self.data)} bytes instead of {needed}')
        flat = np.frombuffer(self.data, np.uint8)
        rows = np.lib.stride_tricks.as_strided(flat, (self.height, width), (self.step, 1), writeable=False)
        if depth == 2:  # the more significant byte
            rows = rows[:, (0 if self.is_bigendian else 1)::2]
        if convert is _yuyv or convert is _uyvy:
            if self.width % 2:
                raise InvalidParameterError(f'{self.what} has an odd width of {self.width}, which {self.encoding} '
                                            'cannot have')
            return Image(convert(rows))
        return Image(np.ascontiguousarray(convert(rows.reshape(self.height, self.width, channels)
                                                  if channels > 1 else rows)))


def data_url(url: str, what: str) -> EncodedImage:
    """Return the image of a data URL (RFC 2397) in base64; InvalidParameterError for any other URL."""
    head, comma, data = url.partition(',')
    if not head.startswith('data:'):
        raise InvalidParameterError(f'{what} must be a data URL (data:image/jpeg;base64,…), not {shown(url)}: images '
                                    'are not fetched')
    if not comma or not head.endswith(';base64') or not head.startswith('data:image/'):
        raise InvalidParameterError(f'{what} must be data:image/TYPE;base64,… , not {shown(head)}')
    try:
        return EncodedImage(base64.b64decode(data, validate=True), what)
    except binascii.Error as error:
        raise InvalidParameterError(f'{what} is not valid base64: {error}') from None


def _rgb(pixels: Bytes) -> Rgb:
    return pixels[..., :3]


def _bgr(pixels: Bytes) -> Rgb:
    return pixels[..., 2::-1]


def _mono(pixels: Bytes) -> Rgb:
    return np.repeat(pixels[..., None], 3, axis=-1)


def _yuyv(rows: Bytes) -> Rgb:
    return _from_yuv(rows[:, 0::2], rows[:, 1::4], rows[:, 3::4])


def _uyvy(rows: Bytes) -> Rgb:
    return _from_yuv(rows[:, 1::2], rows[:, 0::4], rows[:, 2::4])


def _from_yuv(luma: Bytes, blue: Bytes, red: Bytes) -> Rgb:
    """Return RGB of limited-range BT.601, whose colors two neighbouring pixels share."""
    y = 1.164 * (luma.astype(np.float32) - 16)
    u, v = (np.repeat(color.astype(np.float32) - 128, 2, axis=1) for color in (blue, red))
    colors = np.stack([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u], axis=-1)
    return np.clip(np.rint(colors), 0, 255).astype(np.uint8)


def _bayer(pattern: str) -> Callable[[Bytes], Rgb]:
    """Return the interpolation for a pattern of 2 x 2 pixels, such as `rggb`."""
    def convert(pixels: Bytes) -> Rgb:
        height, width = pixels.shape
        colors = np.empty((height, width, 3), np.uint8)
        for channel, color in enumerate('rgb'):
            known = np.zeros((height, width), np.float32)
            for place, letter in enumerate(pattern):
                if letter == color:
                    known[place // 2::2, place % 2::2] = 1
            sums, counts = _neighbours(pixels * known), _neighbours(known)
            mixed = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
            colors[..., channel] = np.rint(np.where(known > 0, pixels, mixed)).astype(np.uint8)
        return colors

    return convert


def _neighbours(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the sum of each pixel and its neighbours, the adjacent ones twice as heavy as the diagonal ones."""
    padded = np.pad(values, 1)
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    total: npt.NDArray[np.float32] = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    return total


# By name: numbers a pixel, bytes a number, conversion of uint8 [height, width(, numbers)].
_ENCODINGS: dict[str, tuple[int, int, Callable[[Bytes], Rgb]]] = {
    'rgb8': (3, 1, _rgb), 'rgba8': (4, 1, _rgb), 'bgr8': (3, 1, _bgr), 'bgra8': (4, 1, _bgr),
    'rgb16': (3, 2, _rgb), 'rgba16': (4, 2, _rgb), 'bgr16': (3, 2, _bgr), 'bgra16': (4, 2, _bgr),
    '8UC3': (3, 1, _bgr), '8UC4': (4, 1, _bgr),  # OpenCV's order
    'mono8': (1, 1, _mono), 'mono16': (1, 2, _mono), '8UC1': (1, 1, _mono),
    'yuv422_yuy2': (2, 1, _yuyv), 'yuyv': (2, 1, _yuyv), 'yuv422': (2, 1, _uyvy), 'uyvy': (2, 1, _uyvy),
    **{f'bayer_{pattern}8': (1, 1, _bayer(pattern)) for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{f'bayer_{pattern}16': (1, 2, _bayer(pattern)) for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')},
}
