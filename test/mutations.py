# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Damage to small files: bytes of a header, values of JSON."""
from __future__ import annotations

import json
from random import Random
from typing import Any

_NUMBERS = (0, 1, 10**5, 10**6, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_VALUES = (None, True, False, 0, 1, -1, 2, 10**6, 2**32 - 1, 2**63, 10**30, 0.5, float('nan'), float('inf'), '', 'x',
           '4', '\ud800', 'a\nb', [], [1], [[]], {}, {'a': 1}, [None], '../x', 'llama', 'qwen2', 'gemma3', 'mpt', 'opt',
           'falcon')
# Options that are put where they were not.
_OPTIONS = ('rope_scaling', 'sliding_window', 'layer_types', 'head_dim', 'quantization_config', 'transformers_weights',
            'text_config', 'vision_config', 'alibi', 'attn_config', 'eos_token_id', 'model_type', 'num_hidden_layers')


def of_bytes(data: bytes, end: int, random: Random) -> bytes:
    """Return bytes with some of the first `end` changed, overwritten by a number, cut out or put in."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        at, kind = random.randrange(end), random.random()
        if kind < 0.6:
            changed[at] = random.choice((0, 1, 2, 4, 5, 8, 9, 32, 127, 128, 255, random.randrange(256)))
        elif kind < 0.8:
            width = random.choice((4, 8))
            number = random.choice(_NUMBERS) % (1 << 8 * width)
            changed[at:at + width] = number.to_bytes(width, 'little')
        elif kind < 0.9:
            del changed[at:at + random.randrange(1, 20)]
        else:
            changed[at:at] = random.randbytes(random.randrange(1, 20))
    return bytes(changed)


def of_json(text: bytes, random: Random) -> bytes:
    """Return JSON with some values replaced, left out or put in; now and then no JSON."""
    value = json.loads(text)
    for _ in range(random.choice((1, 1, 2, 4))):
        value = _changed(value, random)
    made = json.dumps(value).encode()
    return random.choice((made[:len(made) // 2], b'[' * 100_000)) if random.random() < 0.05 else made


def _changed(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.85:
        key, kind = random.choice(list(value)), random.random()
        if kind < 0.1:
            return {name: other for name, other in value.items() if name != key}
        if kind < 0.2:
            return {**value, random.choice(_OPTIONS): random.choice(_VALUES)}
        return {**value, key: _changed(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.7:
        at = random.randrange(len(value))
        return [*value[:at], _changed(value[at], random), *value[at + 1:]]
    return random.choice(_VALUES)
