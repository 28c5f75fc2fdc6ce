# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Images in the text of a chat template: their texts in place of its marks, their numbers in place of tokens."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tinychat_core.errors import InvalidParameterError


class PlacedImage(Protocol):
    """What the tokenizer needs to know of an image."""

    @property
    def marker(self) -> str:
        """What the chat template writes for an image."""

    @property
    def token(self) -> str:
        """The token in `text` that stands for one number."""

    @property
    def text(self) -> str:
        """What replaces the marker."""

    @property
    def numbers(self) -> Sequence[int]:
        """What stands in the prompt for each `token` of the text."""


def placed(encode: Callable[[str], list[int]], text: str, images: Sequence[PlacedImage],
           token_id: Callable[[str], int | None]) -> list[int]:
    """
    Return the ids of a template's text with images at its markers, in order.

    `encode` returns the ids of a text, `token_id` that of a token, or None. Raises InvalidParameterError where the
    template does not write one marker for each image, or the tokenizer does not know the token.
    """
    marker, token = images[0].marker, images[0].token
    pieces = text.split(marker)
    if len(pieces) - 1 != len(images):
        raise InvalidParameterError(f'the chat template has {len(pieces) - 1} places for {len(images)} images; send '
                                    'them with the first question, or use the chat template of the model itself')
    whole = pieces[0] + ''.join(image.text + piece for image, piece in zip(images, pieces[1:], strict=True))
    ids, id_ = encode(whole), token_id(token)
    numbers = [number for image in images for number in image.numbers]
    if id_ is None or ids.count(id_) != len(numbers):
        raise InvalidParameterError(f"the tokenizer does not know '{token}', which stands for images")
    following = iter(numbers)
    return [next(following) if each == id_ else each for each in ids]
