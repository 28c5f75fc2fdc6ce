# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Positions that are no slots, wherever a cache is continued: prefixes, guesses, answers side by side, options."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from vision import tiny_qwen as tiny
from vision.tiny_qwen import BOUND, Tiny
from vision.tiny_smolvlm import picture
from vision.tiny_vision import error

from tinychat_core._tinychat import Sampler
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.engine import Engine
from tinychat_core.errors import InvalidParameterError, PromptTooLongError
from tinychat_core.loading.memory_plan import largest_context, plan
from tinychat_core.sampling import SamplingParams
from tinychat_core.scoring import continuation_logprobs, log_softmax
from tinychat_core.serving.kv_cache_pool import KVCachePool
from tinychat_core.step import Step
from tinychat_core.vision.image import Image
from tinychat_core.vision.image_rows import FIRST_ROW

GREEDY = SamplingParams(max_new_tokens=12)
PICTURES = [picture(200, 100, 0), picture(100, 200, 1), picture(300, 250, 2)]


@pytest.fixture(scope='module', params=tiny.NAMES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny_model = Tiny(request.param, tmp_path_factory.mktemp('qwen'))
    yield tiny_model
    tiny_model.engine.close()


def ids_of(engine: Engine, images: Sequence[Any], *texts: str) -> list[int]:
    """Return a prompt of turns, each with an image."""
    roles = ['user', 'assistant']
    return engine.tokenizer.encode_chat([
        {'role': roles[i % 2], 'content': text, **({'images': [images[i // 2]]} if i % 2 == 0 else {})}
        for i, text in enumerate(texts)])


def answer(engine: Engine, ids: Sequence[int], images: Sequence[Any]) -> list[int]:
    """Return the ids of an answer from a new cache, one token at a time."""
    cache, drawn = engine.new_cache(), list[int]()
    logits = engine.prefill(cache, ids)
    for _ in range(GREEDY.max_new_tokens):
        drawn.append(int(logits.argmax()))
        if drawn[-1] in engine.tokenizer.stop_ids:
            break
        logits = engine.decode(cache, drawn[-1])
    return drawn


def test_a_later_turn_is_the_one_from_scratch(made: Tiny) -> None:
    """And so is one whose prefix ends within an image, as a canceled request leaves it."""
    engine = made.engine
    images = engine.encode_images([Image(shown) for shown in PICTURES])
    first, second = ids_of(engine, images, 'what?'), ids_of(engine, images, 'what?', 'a door', 'and this?')
    other = ids_of(engine, images, 'what?', 'a door', 'and this?', 'a wall', 'here?')
    pool = KVCachePool(engine, 1)
    for ids in (first, second, other, second):
        generation = pool.generate('me', ids, GREEDY)
        for _ in generation:
            pass
        assert generation.ids == answer(engine, ids, images)
        assert ids is first or generation.reused_tokens > 20
        pool.settle('me')
    within = next(i for i, id_ in enumerate(second) if id_ == images[1].first + 5)
    prefix = pool.hold('me', second)
    prefix.cache.truncate(0)
    prefix.tokens = second[:within]
    engine.prefill(prefix.cache, prefix.tokens)
    generation = pool.generate('me', second, GREEDY)
    for _ in generation:
        pass
    assert generation.reused_tokens == within and generation.ids == answer(engine, second, images)


def test_guesses_have_the_positions_of_what_they_guess(made: Tiny) -> None:
    engine = made.engine
    images = engine.encode_images([Image(shown) for shown in PICTURES])
    ids = ids_of(engine, images, 'what?')
    right = answer(engine, ids, images)
    assert len(right) > 6
    cache = engine.new_cache()
    engine.prefill(cache, ids)
    for guess in ([right[1], right[2], (right[3] + 1) % 256], right[1:6]):
        drawn, = engine.run([Step(cache, [right[0], *guess], Sampler(0), len(guess))])
        count = len(drawn.tokens)
        assert [*drawn.tokens] == right[1:1 + count] and count >= 3
        cache.truncate(len(ids))
    assert error(engine.decode(cache, right[0]), made.logits([*ids, right[0]], PICTURES[:1])[-1]) < BOUND


def test_answers_side_by_side_have_their_own_positions(made: Tiny) -> None:
    engine = made.engine
    images = engine.encode_images([Image(shown) for shown in PICTURES])
    prompts = [ids_of(engine, images[i:], 'what?') for i in range(3)] + [
        engine.tokenizer.encode_chat([{'role': 'user', 'content': 'no image'}])]
    expected = [answer(engine, ids, images) for ids in prompts]
    caches, drawn = [engine.new_cache() for _ in prompts], [list[int]() for _ in prompts]
    steps = [Step(cache, ids, Sampler(0)) for cache, ids in zip(caches, prompts, strict=True)]
    for _ in range(min(map(len, expected))):
        for mine, found in zip(drawn, engine.run(steps), strict=True):
            mine += found.tokens
        steps = [Step(cache, mine[-1:], Sampler(0)) for cache, mine in zip(caches, drawn, strict=True)]
    assert all(mine == right[:len(mine)] for mine, right in zip(drawn, expected, strict=True))


def test_options_follow_an_image(made: Tiny) -> None:
    """Each over a copy of the prompt's cache."""
    engine = made.engine
    images = engine.encode_images([Image(PICTURES[2])])
    ids = ids_of(engine, images, 'open?')
    options = [[65, 66, 67], [65, 70], [71, 72, 73, 74], [80]]
    cache = engine.new_cache()
    found = continuation_logprobs(engine, cache, engine.prefill(cache, ids), options)
    for value, option in zip(found, options, strict=True):
        rows = log_softmax(made.logits([*ids, *option], [PICTURES[2]])[len(ids) - 1:-1])
        assert value == pytest.approx(sum(row[token] for row, token in zip(rows, option, strict=True)), rel=1e-4)


def test_a_part_of_an_image_needs_its_beginning(made: Tiny) -> None:
    engine = made.engine
    image, = engine.encode_images([Image(PICTURES[0])])
    for prompt in ([image.first + 3], [65, image.first + 3], [65, image.first, image.first + 2]):
        with pytest.raises(InvalidParameterError, match='does not follow its beginning'):
            engine.prefill(engine.new_cache(), prompt)
    with pytest.raises(InvalidParameterError, match='an image that is not here'):
        engine.prefill(engine.new_cache(), [FIRST_ROW + (1 << 39)])


def test_more_than_the_context_holds_is_refused_before_it_is_encoded(made: Tiny,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    assert made.engine.images is not None
    monkeypatch.setattr(made.engine.images, '_encoder', None)
    monkeypatch.setattr(type(made.engine.images), 'count', lambda *_: 48)
    with pytest.raises(PromptTooLongError, match='22 images need 1056 tokens, but the context has only 1024'):
        made.engine.encode_images([Image(PICTURES[0])] * 22)


def test_the_plan_counts_the_largest_image_that_the_context_holds(made: Tiny) -> None:
    engine = made.engine
    assert engine.path is not None and engine.images is not None
    manifest = Manifest.read(engine.path)
    short, long, longest = (plan(manifest, positions).buffers_bytes for positions in (30, 100, 1000))
    assert short < long < longest == plan(manifest, 900).buffers_bytes  # max_pixels is less than the context
    memory = plan(manifest, 70).total_bytes
    assert largest_context(manifest, memory) == 70


def test_embeddings_for_the_first_layers_count_in_the_cache(made: Tiny) -> None:
    image, = made.engine.encode_images([Image(PICTURES[0])])
    assert made.engine.images is not None
    assert image.rows.shape[1] == made.engine.images.config.width == (96 if made.name == 'qwen2.5-vl' else 4 * 96)
    assert np.isfinite(image.rows).all()
