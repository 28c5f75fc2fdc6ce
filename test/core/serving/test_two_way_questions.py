# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Decisions on 200 questions of a robot: each probability is the one that follows from the logits of `score`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from talking import Asked
from tiny_engine import tiny_engine

from tinychat_core.engine import Engine
from tinychat_core.scoring import log_softmax
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest, DecisionRequest
from tinychat_core.serving.results import DecisionResult

THINGS = ('cup', 'towel', 'hammer', 'apple', 'book', 'knife', 'pillow', 'shoe', 'battery', 'bottle', 'broom', 'lamp',
          'phone', 'plate', 'rope', 'sponge', 'chair', 'key', 'banana', 'screwdriver')
PLACES = ('kitchen', 'hall', 'garden', 'garage', 'office', 'cellar', 'lift', 'bathroom', 'lab', 'ramp', 'stairs',
          'balcony', 'store', 'workshop', 'street', 'yard', 'dock', 'gate', 'roof', 'bedroom')
NUMBERS = tuple(range(4, 100, 5))
# A question with a gap, what fills it, and the two options.
TABLE = (('Battery {} percent. Go on or charge?', NUMBERS, ('go on', 'charge')),
         ('A person is {} cm ahead. Stop or drive?', NUMBERS, ('stop', 'drive')),
         ('The slope has {} degrees. Is it safe?', NUMBERS, ('yes', 'no')),
         ('It is {} degrees in the motor. Too hot?', NUMBERS, ('yes', 'no')),
         ('Is a {} food?', THINGS, ('yes', 'no')),
         ('Can the gripper lift a {}?', THINGS, ('yes', 'no')),
         ('Put the {} left or right?', THINGS, ('left', 'right')),
         ('Bring the {} now or later?', THINGS, ('now', 'later')),
         ('Is the {} indoors?', PLACES, ('yes', 'no')),
         ('Door of the {}: open or closed?', PLACES, ('open', 'closed')))
QUESTIONS = [(text.format(each), options) for text, fillings, options in TABLE for each in fillings]


@pytest.fixture(scope='module', params=['tiny', pytest.param('smollm2', marks=pytest.mark.large)])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatService]:
    if request.param == 'tiny':
        engine = tiny_engine(tmp_path_factory.mktemp('tiny'))
    else:
        path: Path = request.getfixturevalue('smollm2_checkpoint')
        engine = Engine.open(path, max_seq_len=256)
    service = ChatService(engine, 2)
    service.open()
    yield service
    service.close()


def test_probabilities_are_those_of_score(service: ChatService) -> None:
    assert len(QUESTIONS) == len({*QUESTIONS}) == 200
    differences = []
    for question, options in QUESTIONS:
        result = Asked(service, DecisionRequest(question=ChatRequest(prompt=question), options=options)).result()
        assert isinstance(result, DecisionResult)
        expected = probabilities(service.engine, question, options)
        differences.append(max(abs(np.array(result.probabilities) - expected)))
    assert max(differences) < 1e-5


def probabilities(engine: Engine, question: str, options: tuple[str, str]) -> np.ndarray:
    before = engine.tokenizer.encode_chat([{'role': 'user', 'content': question}])
    scores = []
    for option in options:
        tokens = engine.tokenizer.encode_within(option)
        rows = log_softmax(engine.score([*before, *tokens]))[len(before) - 1:-1]
        scores.append(sum(rows[i, token] for i, token in enumerate(tokens)))
    weights = np.exp(np.array(scores) - max(scores))
    found: np.ndarray = weights / weights.sum()
    return found
