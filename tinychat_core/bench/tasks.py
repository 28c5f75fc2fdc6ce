# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the speed-up by guessing tokens, on prompts whose answers can be guessed well, in part, or not at all."""
from __future__ import annotations

from dataclasses import asdict, dataclass
import json
from time import perf_counter

from tinychat_core.engine import Engine
from tinychat_core.sampling import SamplingParams

_REPORT = """\
"Robot R-17 left the charging dock at 08:15 and drove to aisle 4 of warehouse B. At 08:22 it picked up pallet P-2093
(engine parts, 148 kg) and took it to loading bay 7. On the way it waited 40 seconds for forklift F-03. At 08:31 it
returned to aisle 4 for pallet P-2094 (brake discs, 212 kg). The left wheel encoder reported two short dropouts near
shelf 4-19. Operator Maria Keller inspected the wheel at 08:44 and found a loose connector. R-17 resumed its work at
08:52 with a battery level of 71 percent and finished the order at 09:10."""

_ITEM_SCHEMA = json.dumps({
    'type': 'object', 'additionalProperties': False, 'properties': {
        'robot_name': {'type': 'string', 'maxLength': 20}, 'departure_time': {'type': 'string', 'maxLength': 10},
        'warehouse_name': {'type': 'string', 'maxLength': 20}, 'first_pallet': {'type': 'string', 'maxLength': 20},
        'first_pallet_weight_kg': {'type': 'integer', 'minimum': 0, 'maximum': 2000},
        'loading_bay': {'type': 'integer', 'minimum': 0, 'maximum': 99},
        'second_pallet': {'type': 'string', 'maxLength': 20}, 'operator_name': {'type': 'string', 'maxLength': 30},
        'battery_percent': {'type': 'integer', 'minimum': 0, 'maximum': 100}, 'is_order_finished': {'type': 'boolean'}},
    'required': ['robot_name', 'departure_time', 'warehouse_name', 'first_pallet', 'first_pallet_weight_kg',
                 'loading_bay', 'second_pallet', 'operator_name', 'battery_percent', 'is_order_finished']})

# Prompts and the structure of their answers, by the name of the task.
TASKS: dict[str, tuple[tuple[str, ...], str]] = {
    'extract': ((f'Repeat the following report word for word.\n\n{_REPORT}',
                 f'Quote every sentence of this report that names a pallet.\n\n{_REPORT}'), ''),
    'json': ((f'Fill in the form about this report.\n\n{_REPORT}',), _ITEM_SCHEMA),
    'free': (('Why do robots need maps?', 'Tell a short story about a lighthouse.',
              'Explain how a heat pump works to a child.'), ''),
}


@dataclass(frozen=True)
class Speculation:
    """Figures of a task, under the names of `tinychat bench --json`."""

    task: str
    tokens: int                       # of all answers
    tokens_per_s: float               # decoding, without the prompts
    tokens_per_s_without: float       # the same with speculation off
    speed_up: float
    accepted_share: float             # of the tokens, guessed and confirmed

    def as_json(self) -> dict[str, object]:
        """Return the figures for `--json`, rounded."""
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()}


def measure_task(engine: Engine, task: str, new_tokens: int, rounds: int = 2) -> Speculation:
    """
    Answer the prompts of a task with and without guesses in turn, and compare.

    Raises AssertionError if the answers differ: guesses never change an answer.
    """
    prompts, schema = TASKS[task]
    params = SamplingParams(max_new_tokens=new_tokens, json_schema=schema)
    speculates = engine.speculates
    seconds, tokens, accepted = {False: 0.0, True: 0.0}, 0, 0
    try:
        for prompt in prompts * rounds:
            ids = []
            for engine.speculates in (False, True):
                generation = engine.generate([{'role': 'user', 'content': prompt}], params)
                next(generation)
                begin = perf_counter()
                for _ in generation:
                    pass
                seconds[engine.speculates] += perf_counter() - begin
                ids.append(generation.ids)
            assert engine.backend != 'cpu' or ids[0] == ids[1], 'an answer has changed'
            tokens += len(ids[0]) - 1
            accepted += generation.accepted_tokens
    finally:
        engine.speculates = speculates
    return Speculation(task, tokens // rounds, tokens / seconds[True], tokens / seconds[False],
                       seconds[False] / seconds[True], accepted / max(tokens, 1))
