# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Images in requests and conversations: encoded once, reused by content, bounded, and refused with a reason."""
from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from PIL import Image as Pillow
import pytest
from vision import tiny_smolvlm as tiny

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.commands import chat
from tinychat_core.engine import CancelFlag, Engine
from tinychat_core.errors import InvalidParameterError
from tinychat_core.loading.memory_plan import plan
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest, DecisionRequest
from tinychat_core.serving.results import ChatResult, DecisionResult, ErrorCode, Finished
from tinychat_core.vision.image import Image
from tinychat_core.vision.image_rows import ImageStore
from tinychat_core.vision.sources import EncodedImage

GREEDY = SamplingParams(max_new_tokens=8)
SQUARE = 17  # tiles of a square image, which is enlarged first


@pytest.fixture(scope='module')
def service(engine: Engine) -> Iterator[ChatService]:
    opened = ChatService(engine, kv_caches=2)
    opened.open()
    yield opened
    opened.stop('done')


@pytest.fixture
def encoded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that notes each tile that the encoder computes."""
    assert engine.images is not None
    tiles: list[Any] = []
    encoder = engine.images._encoder
    compute = encoder.encode_tile
    monkeypatch.setattr(encoder, 'encode_tile', lambda tile, cancel: (tiles.append(tile), compute(tile, cancel))[1])
    return tiles


def ask(service: ChatService, **fields: Any) -> ChatResult:
    events: SimpleQueue[Any] = SimpleQueue()
    service.submit(ChatRequest(params=GREEDY, **fields), events.put)
    while not isinstance(event := events.get(timeout=60), Finished):
        pass
    return event.result


def image(seed: int, width: int = 56, height: int = 56) -> Image:
    return Image(tiny.picture(width, height, seed))


def test_a_follow_up_computes_neither_the_image_nor_the_prefix_again(service: ChatService, encoded: list[Any]) -> None:
    first = ask(service, prompt='what?', images=[image(10, 200, 100)], conversation_id='follow')
    assert first.error_code is ErrorCode.NONE, first.error_message
    tiles = len(encoded)
    assert first.image_tokens == tiles * tiny.ROWS and first.image_time > 0
    second = ask(service, prompt='and where?', conversation_id='follow')
    assert len(encoded) == tiles
    assert second.image_tokens == first.image_tokens
    assert second.reused_tokens >= first.prompt_tokens


def test_the_same_image_in_another_request_is_found_by_its_content(service: ChatService, encoded: list[Any]) -> None:
    first = ask(service, prompt='what?', images=[image(11)])
    second = ask(service, prompt='what else?', images=[image(11)])
    assert len(encoded) == SQUARE
    assert second.reused_tokens > first.image_tokens
    other = ask(service, prompt='what?', images=[image(12)])
    assert len(encoded) == 2 * SQUARE and other.reused_tokens < first.image_tokens


def test_an_answer_from_the_prefix_is_the_one_from_scratch(service: ChatService) -> None:
    warm = [ask(service, prompt='what?', images=[image(13), image(14)]) for _ in range(2)]
    assert warm[1].reused_tokens > 0 and warm[0].text == warm[1].text


def decide(service: ChatService, **fields: Any) -> DecisionResult:
    events: SimpleQueue[Any] = SimpleQueue()
    question = ChatRequest(params=GREEDY, **fields)
    service.submit(DecisionRequest(question=question, options=('yes', 'no', 'maybe')), events.put)
    while not isinstance(event := events.get(timeout=60), Finished):
        pass
    assert isinstance(event.result, DecisionResult), event.result.error_message
    return event.result


def test_a_decision_looks_at_its_images(service: ChatService, engine: Engine, encoded: list[Any]) -> None:
    shown = [image(40, 220, 210), image(41, 220, 210), image(42, 220, 210)]
    found = decide(service, prompt='open?', images=shown)
    rows = engine.encode_images(shown)
    tiles = len(encoded)
    prompt = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'open?', 'images': rows}])
    assert found.prompt_tokens == len(prompt)
    for option, score in zip(('yes', 'no', 'maybe'), found.scores, strict=True):
        cache, total = engine.new_cache(), 0.0
        logits = engine.prefill(cache, prompt)
        for token in engine.tokenizer.encode_within(f' {option}'):  # as the template writes it
            total += float(logits[token] - logits.max() - np.log(np.exp(logits - logits.max()).sum()))
            logits = engine.decode(cache, token)
        assert score == pytest.approx(total, abs=1e-3)
    again = decide(service, prompt='closed?', images=shown)
    assert len(encoded) == tiles and again.reused_tokens > len(prompt) / 2
    other = decide(service, prompt='open?', images=[image(43, 220, 210)])
    assert other.probabilities != pytest.approx(found.probabilities, abs=1e-3)


def test_messages_have_their_own_images(service: ChatService) -> None:
    result = ask(service, messages=[
        {'role': 'user', 'content': 'a?', 'images': [image(15)]}, {'role': 'assistant', 'content': 'yes'},
        {'role': 'user', 'content': 'b?', 'images': [image(16), image(17)]}])
    assert result.error_code is ErrorCode.NONE and result.image_tokens == 3 * SQUARE * tiny.ROWS


def test_what_spells_an_image_is_text(service: ChatService) -> None:
    result = ask(service, prompt='what is <image> and <global-img>?', images=[image(18)])
    assert result.error_code is ErrorCode.NONE and result.image_tokens == SQUARE * tiny.ROWS


def test_more_images_than_the_context_holds_are_refused_before_they_are_encoded(service: ChatService,
                                                                                encoded: list[Any]) -> None:
    result = ask(service, prompt='what?', images=[image(20 + i, 220, 210) for i in range(31)])
    assert result.error_code is ErrorCode.PROMPT_TOO_LONG and '31 images need 2108 tokens' in result.error_message
    assert not encoded
    assert ask(service, prompt='what?', images=[image(20)]).error_code is ErrorCode.NONE


def test_a_damaged_image_ends_its_request_alone(service: ChatService) -> None:
    result = ask(service, prompt='what?', images=[EncodedImage(b'GIF89a', 'images[0]')])
    assert result.error_code is ErrorCode.INVALID_GOAL and 'images[0] is not a JPEG' in result.error_message
    assert ask(service, prompt='what?', images=[image(20)]).error_code is ErrorCode.NONE


def test_images_belong_to_users(service: ChatService) -> None:
    with pytest.raises(InvalidParameterError, match="only a message of role 'user'"):
        ask(service, messages=[{'role': 'assistant', 'content': 'a', 'images': [image(1)]}])
    with pytest.raises(InvalidParameterError, match='images: with messages'):
        ask(service, messages=[{'role': 'user', 'content': 'a'}], images=[image(1)])
    with pytest.raises(InvalidParameterError, match='65 images, more than the limit of 64'):
        ask(service, prompt='a', images=[image(1)] * 65)


def test_a_video_does_not_fill_the_memory(engine: Engine) -> None:
    assert engine.images is not None
    size = engine.images.encode(image(0), CancelFlag()).rows.nbytes
    store = ImageStore(engine.images._encoder, kept_bytes=3 * size)
    firsts = [store.encode(image(seed)).first for seed in range(10)]
    assert len(set(firsts)) == 10 and len(store._kept) == 3 and len(store._alive) == 3
    assert store.encode(image(0)).first == firsts[0]  # its number outlives its embeddings: prefixes are still found


def test_rows_that_nobody_holds_are_an_error(engine: Engine) -> None:
    with pytest.raises(InvalidParameterError, match='an image that is not here'):
        engine.prefill(engine.new_cache(), [65, 1 << 50])


def test_the_plan_counts_the_encoder(checkpoint: Path) -> None:
    manifest = Manifest.read(checkpoint)
    vision = sum(entry.nbytes for name, entry in manifest.tensors.items() if name.startswith('vision.'))
    assert 0 < vision < manifest.weights_bytes
    assert plan(manifest).buffers_bytes > 32 << 20


def test_the_terminal_shows_an_image_once(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse
    file = BytesIO()
    Pillow.fromarray(tiny.picture(56, 56)).save(file, 'PNG')
    (tmp_path / 'door.png').write_bytes(file.getvalue())
    asked: list[ChatRequest] = []
    monkeypatch.setattr(chat, '_answer', lambda service, request: (asked.append(request), ChatResult('', 'stop'))[1])
    monkeypatch.setattr(chat, 'open_model', lambda *_, **__: engine)
    monkeypatch.setattr(engine, 'close', lambda: None)
    monkeypatch.setattr(chat, 'prompts', lambda _: ['what?', 'and now?'])
    parser = argparse.ArgumentParser()
    chat.add_arguments(parser)
    assert chat.run(parser.parse_args(['model', '--image', str(tmp_path / 'door.png')])) == 0
    assert [len(request.images) for request in asked] == [1, 0]
    (tmp_path / 'wall.jpg').write_bytes(b'no image')
    with pytest.raises(InvalidParameterError, match=r'wall\.jpg is not a JPEG'):
        chat.run(parser.parse_args(['model', '--image', str(tmp_path / 'wall.jpg')]))
