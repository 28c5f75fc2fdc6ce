# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Gemma 3 against transformers: rows of an image see each other, also at the end of a part of the prompt."""
from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import torch
from vision import tiny_gemma3 as tiny
from vision.tiny_smolvlm import picture
from vision.tiny_vision import error

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.engine import Engine
from tinychat_core.importers import import_model
from tinychat_core.loading.memory_plan import PIECE_TOKENS
from tinychat_core.sampling import SamplingParams
from tinychat_core.scoring import log_softmax
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest, DecisionRequest
from tinychat_core.serving.results import DecisionResult, Finished
from tinychat_core.vision.image import Image
from tinychat_core.vision.image_rows import FIRST_ROW, FIRST_UNCUT_ROW, part_end
from tinychat_core.vision.tiles import tiles_of

PART = PIECE_TOKENS['cpu']
BOUND = 1e-4  # of the largest number of the reference


@pytest.fixture(scope='module')
def model() -> Any:
    return tiny.model()


@pytest.fixture(scope='module')
def gemma(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp('gemma3')
    import_model(str(tiny.save(model, directory / 'model')), directory / 'ours')
    opened = Engine.open(directory / 'ours', threads=2)
    yield opened
    opened.close()


@pytest.mark.parametrize('width, height', [(112, 112), (150, 90), (90, 151), (640, 480), (17, 17), (1, 1), (300, 3)])
def test_the_pixels_are_those_of_transformers(gemma: Engine, width: int, height: int) -> None:
    assert gemma.path is not None
    vision = Manifest.read(gemma.path).vision
    assert vision is not None
    shown = picture(width, height)
    np.testing.assert_allclose(tiles_of(vision.pixels, shown).pixels, tiny.reference_pixels(shown), atol=1e-6)


def test_the_embeddings_are_those_of_transformers(gemma: Engine, model: Any) -> None:
    shown = picture(150, 90)
    with torch.no_grad():
        expected = model.get_image_features(torch.from_numpy(tiny.reference_pixels(shown))).pooler_output[0].numpy()
    rows, = gemma.encode_images([Image(shown)])
    assert rows.rows.shape == expected.shape == (tiny.ROWS, 64)
    assert error(rows.rows, expected) < BOUND


@pytest.mark.parametrize('before', [0, PART - 30])
def test_the_logits_are_those_of_transformers(gemma: Engine, model: Any, before: int) -> None:
    """An image begins a few tokens before the end of a part of the prompt, and before that of a pass."""
    pictures = [picture(100, 100, seed) for seed in range(2)]
    images = gemma.encode_images([Image(shown) for shown in pictures])
    ids = gemma.tokenizer.encode_chat([
        {'role': 'user', 'content': 'x' * before}, {'role': 'assistant', 'content': 'y'},
        {'role': 'user', 'content': 'what?', 'images': images}])
    theirs = [id_ if id_ < FIRST_ROW else tiny.IMAGE for id_ in ids]
    generation = gemma.generate(ids, SamplingParams(max_new_tokens=2))
    token = next(generation)
    cache = gemma.new_cache()
    begin = 0
    while begin < len(ids):
        end = part_end(ids, begin, PART)
        logits = gemma.prefill(cache, ids[begin:end])
        begin = end
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([theirs]), token_type_ids=torch.tensor([theirs]) == tiny.IMAGE,
                         pixel_values=torch.from_numpy(np.concatenate(list(map(tiny.reference_pixels, pictures))))
                         ).logits[0, -1].numpy()
    assert error(logits, expected) < BOUND
    assert token.id == int(expected.argmax())


def test_no_part_of_a_prompt_ends_within_an_image() -> None:
    image = [*range(FIRST_UNCUT_ROW, FIRST_UNCUT_ROW + 20)]
    other = [*range(FIRST_UNCUT_ROW + (1 << 20), FIRST_UNCUT_ROW + (1 << 20) + 5)]
    prompt = [1] * 10 + image + other + [2]
    ends = [0]
    while ends[-1] < len(prompt):
        ends.append(part_end(prompt, ends[-1], 12))
    assert ends == [0, 10, 30, 36]
    assert part_end([FIRST_ROW + row for row in range(20)], 0, 12) == 12  # each of these sees those before it alone
    assert part_end([1] * 30, 0, 12) == 12 and part_end([1], 0, 12) == 1


def test_a_decision_reads_an_image_as_a_whole(gemma: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a part of the prompt would end within it."""
    monkeypatch.setattr(gemma, 'close', lambda: None)  # the next test uses it, too
    shown, question = Image(picture(100, 100, 7)), 'x' * (PART - 30)
    messages = [{'role': 'user', 'content': question}, {'role': 'assistant', 'content': 'y'},
                {'role': 'user', 'content': 'open?', 'images': [shown]}]
    rows = gemma.encode_images([shown])
    ids = gemma.tokenizer.encode_chat([*messages[:2], {**messages[2], 'images': rows}])
    assert ids[PART - 1] >= FIRST_UNCUT_ROW and ids[PART] == ids[PART - 1] + 1
    service, events = ChatService(gemma, kv_caches=1), SimpleQueue[Any]()
    service.open()
    service.submit(DecisionRequest(question=ChatRequest(messages=messages), options=('a', 'b')), events.put)
    while not isinstance(event := events.get(timeout=60), Finished):
        pass
    service.stop('done')
    expected = log_softmax(gemma.score(ids)[-1])[[97, 98]]
    assert isinstance(event.result, DecisionResult) and np.allclose(event.result.scores, expected, atol=1e-4)
