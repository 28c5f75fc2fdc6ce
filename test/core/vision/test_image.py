# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Images from files and cameras: each encoding gives its colors, each damaged one a clear line."""
from __future__ import annotations

import base64
from io import BytesIO
import struct
from typing import Any
import zlib

import numpy as np
from PIL import Image as Pillow
import pytest

from tinychat_core._tinychat import CancelFlag
from tinychat_core.errors import InvalidParameterError
from tinychat_core.vision.image import Image
from tinychat_core.vision.sources import data_url, EncodedImage, RawImage

RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]


def load(source: Any) -> Any:
    return source.load(CancelFlag()).pixels


def raw(encoding: str, rows: Any, width: int = 2, step: int | None = None, bigendian: bool = False) -> RawImage:
    data = np.asarray(rows, np.uint8)
    return RawImage(width, len(data), encoding, data.shape[1] if step is None else step, bigendian, data.tobytes())


def encoded(kind: str, pixels: Any = ((RED, GREEN), (BLUE, RED))) -> bytes:
    file = BytesIO()
    Pillow.fromarray(np.array(pixels, np.uint8)).save(file, kind)
    return file.getvalue()


def png_of(width: int, height: int) -> bytes:
    """Return the beginning of a PNG of this size."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) +
            chunk(b'IDAT', zlib.compress(bytes(100))) + chunk(b'IEND', b''))


@pytest.mark.parametrize(('encoding', 'row'), [
    ('rgb8', [255, 0, 0, 0, 0, 255]), ('bgr8', [0, 0, 255, 255, 0, 0]),
    ('rgba8', [255, 0, 0, 9, 0, 0, 255, 9]), ('bgra8', [0, 0, 255, 9, 255, 0, 0, 9]),
    ('8UC3', [0, 0, 255, 255, 0, 0]), ('rgb16', [7, 255, 7, 0, 7, 0, 7, 0, 7, 0, 7, 255]),
])
def test_each_order_of_colors(encoding: str, row: list[int]) -> None:
    assert load(raw(encoding, [row])).tolist() == [[RED, BLUE]]


def test_brightness_in_8_and_16_bits() -> None:
    assert load(raw('mono8', [[10, 200]])).tolist() == [[[10] * 3, [200] * 3]]
    assert load(raw('mono16', [[1, 10, 2, 200]])).tolist() == [[[10] * 3, [200] * 3]]
    assert load(raw('mono16', [[10, 1, 200, 2]], bigendian=True)).tolist() == [[[10] * 3, [200] * 3]]


@pytest.mark.parametrize(('encoding', 'row'), [('yuv422_yuy2', [81, 90, 81, 240]), ('yuv422', [90, 81, 240, 81])])
def test_yuv_is_bt_601(encoding: str, row: list[int]) -> None:
    """Red is Y 81, U 90, V 240 (ITU-R BT.601)."""
    assert np.abs(load(raw(encoding, [row])).astype(int) - RED).max() <= 2


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_a_bayer_pattern_of_one_color_is_that_color(pattern: str) -> None:
    color = {'r': 200, 'g': 100, 'b': 50}
    rows = [[color[pattern[2 * (y % 2) + x % 2]] for x in range(6)] for y in range(4)]
    assert load(raw(f'bayer_{pattern}8', rows, width=6)).tolist() == [[[200, 100, 50]] * 6] * 4


def test_what_is_behind_a_row_is_not_read() -> None:
    assert load(raw('mono8', [[1, 2, 99, 99], [3, 4, 99, 99]])).tolist() == [[[1] * 3, [2] * 3], [[3] * 3, [4] * 3]]


@pytest.mark.parametrize(('image', 'reason'), [
    (raw('32FC1', [[0] * 8]), "has the encoding '32FC1'; supported are rgb8"),
    (raw('16UC1', [[0] * 4]), "has the encoding '16UC1'"),
    (raw('', [[0] * 4]), "has the encoding ''"),
    (raw('rgb8', [[0] * 6], step=5), 'has a step of 5 bytes, but 2 pixels of rgb8 take 6'),
    (raw('rgb8', [[0] * 6, [0] * 6], step=7), 'has 12 bytes instead of 13'),
    (raw('rgb8', [[0] * 6], step=2 ** 32 - 1, width=3), 'has 6 bytes instead of 9'),
    (RawImage(0, 0, 'rgb8', 0, False, b''), 'is empty: 0 x 0 pixels'),
    (RawImage(20_000, 20_000, 'rgb8', 60_000, False, b''), 'has 20000 x 20000 pixels, more than the limit'),
    (RawImage(1, 5000, 'mono8', 1, False, bytes(5000)), 'has 1 x 5000 pixels: one edge is more than 200 times'),
    (raw('yuv422', [[0] * 6], width=3), 'has an odd width of 3'),
])
def test_a_frame_that_lies_is_refused_with_its_reason(image: RawImage, reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=f'the image {reason}'):
        load(image)


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'JPEG', 'WEBP'])
def test_files_are_decoded(kind: str) -> None:
    pixels = load(EncodedImage(encoded(kind, [[RED] * 16] * 16)))
    assert pixels.shape == (16, 16, 3) and np.abs(pixels.astype(int) - RED).max() < 5


@pytest.mark.parametrize(('data', 'reason'), [
    (b'', 'is empty'), (b'GIF89a', 'is not a JPEG, PNG'), (encoded('JPEG', [[RED] * 64] * 64)[:-400], 'is damaged'),
    (png_of(20_000, 20_000), 'has 20000 x 20000 pixels'), (png_of(1, 1_000_000), 'one edge is more than'),
    (png_of(100, 100), 'is damaged'), (b'\xff\xd8\xff' + bytes(50), 'is not a JPEG'),
])
def test_a_file_that_is_no_image_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=f'^images\\[0\\].* {reason}|^images\\[0\\] {reason}'):
        load(EncodedImage(data, 'images[0]'))


def test_the_size_is_checked_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: Any) -> None:
        raise AssertionError('it was decoded')

    monkeypatch.setattr('PIL.ImageFile.ImageFile.load', decoded)
    with pytest.raises(InvalidParameterError, match='more than the limit'):
        load(EncodedImage(png_of(20_000, 20_000)))


def test_equal_pixels_have_the_same_key() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    keys = {Image(pixels).key, Image(pixels.copy()).key, Image(pixels.reshape(3, 2, 3)).key, Image(pixels + 1).key}
    assert len(keys) == 3


def test_data_urls() -> None:
    data = encoded('PNG')
    url = f'data:image/png;base64,{base64.b64encode(data).decode()}'
    assert load(data_url(url, 'x')).tolist() == [[RED, GREEN], [BLUE, RED]]
    for wrong, reason in (('https://example.com/a.png', 'images are not fetched'), ('data:text/plain,a', 'must be'),
                          ('data:image/png;base64,%%%', 'is not valid base64'), ('file:///etc/passwd', 'not fetched')):
        with pytest.raises(InvalidParameterError, match=reason):
            data_url(wrong, 'x')
