# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""An image that is loaded once, so that all backends that are asked about it get the same one."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

from tinychat_core.engine import CancelFlag
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.vision.image import Image
from tinychat_core.vision.sources import EncodedImage, ImageSource

# The formats that servers decode, with their first bytes.
_TYPES = {'jpeg': b'\xff\xd8\xff', 'png': b'\x89PNG\r\n\x1a\n'}


class SharedImage:
    """
    Loads an image when it is first needed, and keeps it, because the next frame of a camera would be another image.

    Safe to use from several threads.
    """

    def __init__(self, source: ImageSource) -> None:
        """Take the source of the image."""
        self._source = source
        self._lock = Lock()
        self._image: Image | None = None
        self._url = ''

    def load(self, cancel: CancelFlag) -> Image:
        """See ImageSource."""
        with self._lock:
            if self._image is None:
                self._image = self._source.load(cancel)
            return self._image

    @property
    def url(self) -> str:
        """The image as a data URL (RFC 2397); '' before `loaded`."""
        return self._url

    def encode(self, cancel: CancelFlag) -> None:
        """Load the image and set `url`: JPEG and PNG files unchanged, all others as JPEG. Raises like `load`."""
        image = self.load(cancel)
        if self._url:
            return
        data = bytes(self._source.data) if isinstance(self._source, EncodedImage) else b''
        kind = next((name for name, begin in _TYPES.items() if data.startswith(begin)), '')
        if not kind:
            kind, data = 'jpeg', image.to_jpeg()
        self._url = f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


def with_shared_images(request: ChatRequest) -> ChatRequest:
    """Return a request whose images are SharedImages."""
    if not request.all_images:
        return request
    messages = [{**message, 'images': [*map(SharedImage, message['images'])]} if message.get('images') else message
                for message in request.messages]
    return replace(request, images=[*map(SharedImage, request.images)], messages=messages)


async def loaded(dialogue: Sequence[Mapping[str, Any]]) -> None:
    """Load all images of a dialogue, so that each has its `url`. Raises like ImageSource.load. Can be canceled."""
    images = [image for message in dialogue for image in message.get('images') or ()]
    cancel = CancelFlag()
    try:
        for image in images:
            if isinstance(image, SharedImage) and not image.url:
                await asyncio.to_thread(image.encode, cancel)
    finally:
        cancel.set()
